from bcl_mm.labels import shorten


def test_short_names_keep_both_ends():
    assert shorten('Temminck stint 10', 17) == 'Temminck stint 10'
    assert shorten('Temminck stint 10', 10) == 'Temmi…t 10'
