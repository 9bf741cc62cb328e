"""A list as someone has written it."""


def write_csv(tmp_path, text):
    path = tmp_path / 'all.csv'
    path.write_text(text, encoding='utf-8')
    return str(path)
