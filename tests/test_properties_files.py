"""Any list and any annotation file is read, or is an error."""

import json
import re
import string

from hypothesis import example, given, settings
from hypothesis import strategies as st

from bcl_mm.datasets.annotations import read_coco, read_list
from tests.strategies import anything, fixed

# What a path may hold: it neither breaks the line nor begins or ends in
# blanks, and can be written as UTF-8.
paths = (
    st.text(
        st.characters(codec='utf-8', exclude_characters='\r\n'), min_size=1
    )
    .filter(lambda path: path == path.strip())
    .filter(lambda path: not path.startswith('\ufeff'))
)
newlines = st.sampled_from(['\n', '\r\n', '\r', '\n\n', '\r\n \t\r\n'])


@fixed
@given(
    st.lists(st.tuples(paths, st.integers(0, 999_999)), min_size=1),
    st.sampled_from([' ', '\t', '   ']),
    newlines,
    st.booleans(),
)
def test_what_is_written_to_a_list_is_read(tmp_path, rows, gap, newline, mark):
    file = tmp_path / 'list.txt'
    lines = [f'{path}{gap}{label}' for path, label in rows]
    text = newline.join(lines) + newline
    file.write_bytes(text.encode('utf-8-sig' if mark else 'utf-8'))
    entries = list(read_list(str(file)))
    assert [entry[:2] for entry in entries] == rows
    step = len(newline.replace('\r\n', '\n').replace(' \t', ''))
    assert [entry[2] for entry in entries] == [
        1 + step * i for i in range(len(rows))
    ]


texts = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=60).map(lambda text: text.encode('utf-8', 'replace')),
    st.lists(
        st.sampled_from(
            ['a.jpg', ' ', '\t', '\n', '\r\n', '1', '07', '1.0', '-1', '²']
            + ['１', 'NaN', '1e3', '\x00', '\ufeff', '\x1c', '\u2028', ',']
        )
    ).map(lambda parts: ''.join(parts).encode()),
)


@settings(fixed, max_examples=300)
@given(texts)
def test_any_text_is_a_list_or_an_error(tmp_path, content):
    file = tmp_path / 'list.txt'
    file.write_bytes(content)
    try:
        entries = list(read_list(str(file)))
    except ValueError as error:
        first, *others = str(error).split('\n')
        named = re.match(rf'{re.escape(str(file))}(:(\d+))?: ', first)
        assert named
        if named[2] is None:
            assert not content.removeprefix(b'\xef\xbb\xbf').decode().strip()
        else:
            lines = len(re.split(rb'\r\n|\r|\n', content))
            assert 1 <= int(named[2]) <= lines
        for other in others:  # each bad line
            assert other.startswith((f'{file}:', '... and '))
    else:
        assert entries
        for path, label, line in entries:
            assert path
            assert 0 <= label <= 999_999
            assert line >= 1


# Annotations that are nearly right.
ids = st.integers(0, 3) | st.sampled_from([None, '1', 1.0, True, []])
tables = st.fixed_dictionaries(
    {},
    optional=dict(
        images=st.lists(
            st.fixed_dictionaries(
                {}, optional=dict(id=ids, file_name=st.just('a.jpg') | ids)
            ),
            max_size=3,
        ),
        annotations=st.lists(
            st.fixed_dictionaries(
                {}, optional=dict(image_id=ids, category_id=ids)
            ),
            max_size=3,
        ),
        categories=st.lists(
            st.fixed_dictionaries(
                {}, optional=dict(id=ids, name=st.just('bird') | ids)
            ),
            max_size=3,
        ),
    ),
)


@settings(fixed, max_examples=300)
@given(
    tables.map(lambda value: json.dumps(value).encode())
    | anything.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=30)
    | st.text(string.printable, max_size=30).map(str.encode)
)
@example(b'[' * 100_000)
@example(b'{"images": NaN}')
def test_any_json_is_an_annotation_or_an_error(tmp_path, content):
    file = tmp_path / 'train.json'
    file.write_bytes(content)
    try:
        entries, classes = read_coco(str(file))
    except ValueError as error:
        assert str(error).startswith(str(file))
    else:
        assert all(0 <= label < len(classes) for _, label, _ in entries)
