"""Texts as people have them: every encoding, line end, table and folder; what is read is told, what is not is named."""

import bz2
import gzip
import json
import lzma
import os
import string
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from lts_nb.core.errors import InputError
from lts_nb.training import copies
from lts_nb.training.copies import cut_document, near_copies, split_fragments
from lts_nb.training.corpus import folder_corpus, get_corpus, split_documents
from lts_nb.training.tables import read_table
from lts_nb.training.text_files import decode_text, find_files, read_document

LINES = [f"Line {i} says {i * i} things of {i % 7} kinds." for i in range(1500)]
BOOK = "\n".join(LINES) + "\n"


def prose(seed: int, words: int) -> str:
    "Words of a vocabulary of 800, drawn anew for each seed."
    letters = np.random.default_rng(0).choice(list(string.ascii_lowercase), (800, 6))
    vocabulary = ["".join(row) for row in letters]
    return " ".join(np.random.default_rng(seed).choice(vocabulary, words))


def write(folder, **files) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def all_text(corpus) -> str:
    return "".join(sorted(corpus.train + corpus.valid))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le+", "utf-16-be+", "utf-32"])
def test_encodings_and_line_ends(end, encoding):
    text = "naïve\n\n中文 \u2028 😀\nend"
    mark = "\ufeff" if encoding.endswith("+") else ""
    content = (mark + text.replace("\n", end)).encode(encoding.rstrip("+"))
    assert decode_text(content, "corpus") == text


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"caf\xe9 noir", r"is not UTF-8 text \(byte 3 is 0xe9\); convert it"),
        (b"\xff\xfe" + b"\x00\xd8" * 9, "is not UTF-16-LE text"),
        (b"\0\1\2", "is binary, not text"),
        ("plain words".encode("utf-16-le"), "seems to be UTF-16 without a byte order mark"),
        ("plain words".encode("utf-16-be"), "seems to be UTF-16 without a byte order mark"),
        ("日本".encode("iso2022-jp"), "seems to be ISO-2022-JP"),
        (b"%PDF-1.7 \xe2\xe3", "is a PDF"),
        (b"PK\x03\x04\x14\0", "is a zip archive"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "is a pointer of git-lfs"),
    ],
)
def test_no_text(tmp_path, content, reason):
    write(tmp_path, **{"good.txt": BOOK, "bad.txt": content})
    with pytest.raises(InputError, match=f"bad.txt': {reason}"):
        folder_corpus(tmp_path)


def test_all_bad_files_are_counted(tmp_path):
    write(tmp_path, **{"good.txt": BOOK}, **{f"{i}.txt": b"caf\xe9" for i in range(5)})
    with pytest.raises(InputError, match=r"0\.txt'.*\(and 4 more cannot be read\)"):
        folder_corpus(tmp_path)


def test_marks_within(tmp_path):
    "Files with marks that were put end to end."
    write(tmp_path, **{"joined.txt": b"\xef\xbb\xbfone\n\xef\xbb\xbftwo\n"})
    assert read_document(tmp_path / "joined.txt") == "one\ntwo\n"


@pytest.mark.parametrize("separator", ["\n", "\r", "\r\n", "\u2028", "\u2029", "\x85", " ", ". ", "。", ""])
def test_one_file_however_its_lines_end(tmp_path, separator):
    write(tmp_path, **{"one.txt": separator.join(LINES)})
    corpus = folder_corpus(tmp_path / "one.txt")
    total = sum(map(len, corpus.train + corpus.valid))
    assert abs(sum(map(len, corpus.valid)) - 0.02 * total) <= max(map(len, corpus.train + corpus.valid))
    assert total == len(separator.replace("\r\n", "\n").join(LINES))


@pytest.mark.parametrize("length", [700, 3_000, 30_000])
def test_a_short_file_is_split(tmp_path, length):
    write(tmp_path, **{"short.txt": BOOK[:length]})
    corpus = folder_corpus(tmp_path)
    assert 0 < sum(map(len, corpus.valid)) < 0.45 * length


def test_a_book_and_a_note(tmp_path):
    "Two per cent of the text, give or take a document, whatever the files' sizes."
    write(tmp_path, **{"big.txt": prose(1, 90_000), "readme.txt": "This is the big text file."})
    corpus = folder_corpus(tmp_path)
    assert 0.015 < sum(map(len, corpus.valid)) / sum(map(len, corpus.train + corpus.valid)) < 0.025


def test_three_texts_and_all_of_them(tmp_path):
    texts = [prose(seed, 20_000) for seed in (1, 2, 3)]
    write(tmp_path, **{f"{i}.txt": text for i, text in enumerate([*texts, "\n".join(texts)])})
    corpus = folder_corpus(tmp_path)
    trained = {tuple(words[i : i + 8]) for words in map(str.split, corpus.train) for i in range(len(words) - 7)}
    seen = [tuple(words[i : i + 8]) in trained for words in map(str.split, corpus.valid) for i in range(len(words) - 7)]
    assert len(seen) > 500 and np.mean(seen) < 0.01
    assert sum(map(len, corpus.train + corpus.valid)) < 1.2 * sum(map(len, texts))


@pytest.mark.parametrize(
    "change",
    [
        str.upper,
        lambda text: text.replace(" ", "\n"),
        lambda text: text + " One more sentence at the end of it.",
        lambda text: "Copyright by somebody. " + text.replace("e", "e\u0301", 1),
        lambda text: "  ".join(text.split()) + "   \n",
        lambda text: text[: len(text) * 3 // 4],
    ],
)
def test_near_copies_stay_together(change):
    "Of forty texts each has an edition that differs a little."
    texts = [prose(seed, 300) for seed in range(40)]
    corpus = split_documents("editions", texts + [change(text) for text in texts], share=0.2)
    groups = near_copies(corpus.train + corpus.valid).groups
    assert len(set(groups)) == 40 and not set(groups[: len(corpus.train)]) & set(groups[len(corpus.train) :])
    assert "80 near copies kept on one side" in corpus.account


def test_a_collection_of_quotations_is_trained_on():
    "It has little of any one text, and nothing of its own."
    texts = [prose(seed, 200) for seed in range(30)]
    quoted = [" ".join(text[i : i + 150] for text in texts) for i in range(0, 900, 150)]
    corpus = split_documents("quotations", [*texts, *quoted], share=0.3)
    assert not set(quoted) & set(corpus.valid) and len(corpus.valid) > 5


def test_copies_among_many_documents_where_integers_have_32_bits(monkeypatch):
    "As on Windows with NumPy 1: a pair of fifty thousand documents is one of 2.5 billion."

    def arange(*limits, dtype=np.int32):
        return np.arange(*limits, dtype=dtype)

    monkeypatch.setattr(copies, "np", SimpleNamespace(**vars(np) | dict(arange=arange)))
    groups = near_copies([f"document {i}" for i in range(50_000)] + ["Document 49999!"]).groups
    assert len(set(groups)) == 50_000 and groups[-1] == groups[-2]


@pytest.mark.parametrize("letters", ["acgt", "".join(map(chr, range(0x20000, 0x20400))), "กขฃคฅฆงจฉชซฌญ"])
def test_copies_in_writing_without_spaces(letters):
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list(letters), 400)) for _ in range(60)]
    corpus = split_documents("runs", texts + [text[:200] + "x" + text[201:] for text in texts], share=0.2)
    assert "120 near copies kept on one side" in corpus.account


def test_rows_that_are_repeated_in_one_text():
    "A log: nothing can keep its lines apart, but it is said how much they repeat."
    rows = [prose(seed, 9) for seed in range(150)]
    log = "\n".join(np.random.default_rng(0).choice(rows, 8_000))
    assert "% of what validates also stands in what is trained on" in split_documents("log", [log]).account


def test_forms_that_differ_in_a_field():
    "Nearly all documents are copies of each other: they are split all the same, and it is said."
    form = prose(1, 200)
    corpus = split_documents("forms", [f"{form} {i}" for i in range(100)])
    assert len(corpus.valid) == 2 and "near copies stand on both sides" in corpus.account


@pytest.mark.parametrize("size", [100, 700])
@pytest.mark.parametrize("text", ["", "x" * 5_000, BOOK[:9_000], "a b " * 900, "\n" * 3_000, "一" * 3_000])
def test_cut_and_put_together(text, size):
    pieces = cut_document(text, size)
    assert "".join(pieces) == text
    assert all(size / 2 <= len(piece) <= 3 * size for piece in pieces[:-1])
    assert "".join(split_fragments(text, size)) == text


ROWS = [prose(seed, 60) for seed in range(100)]
DIGITS = "3" * 5_000  # more than Python's `int` takes


def tables(folder) -> dict:
    "The same hundred texts, in every kind of table."
    import pandas as pd

    frame = pd.DataFrame(dict(id=range(100), text=ROWS, score=0.5))
    lines = "".join(json.dumps(dict(id=i, text=text)) + "\n" for i, text in enumerate(ROWS))
    write(folder, **{"a.jsonl": lines, "A.JSONL": "\ufeff" + lines.replace("\n", "\r\n\r\n")})
    write(folder, **{"b.json": json.dumps([dict(text=text) for text in ROWS], indent=1)})
    write(folder, **{"c.jsonl.gz": gzip.compress(lines.encode()), "d.ndjson.bz2": bz2.compress(lines.encode())})
    write(folder, **{"e.jsonl.xz": lzma.compress(lines.encode()), "f.jsonl": lines.encode("utf-16")})
    frame.to_csv(folder / "g.csv", index=False)
    frame.to_csv(folder / "h.csv", index=False, sep=";", encoding="utf-8-sig")
    frame.to_csv(folder / "i.tsv", index=False, sep="\t")
    frame.to_parquet(folder / "j.parquet")
    return {file.name: file for file in sorted(folder.iterdir())}


def test_tables(tmp_path):
    found = tables(tmp_path)
    assert len(found) > 9
    for name, file in found.items():
        documents, missing, column = read_table(file)
        assert (sorted(documents), missing, column) == (sorted(ROWS), 0, "text"), name
    corpus = folder_corpus(tmp_path / "a.jsonl")
    assert corpus.account.startswith("1 file (.jsonl 1), column 'text'; 100 documents, ")
    assert folder_corpus(tmp_path).sha256 == corpus.sha256  # all of them hold the same


@pytest.mark.parametrize(
    "name, content, documents",
    [
        ("nulls.jsonl", '{"text": "one"}\n{"text": null}\n{"id": 3}\n\n{"text": ""}\n', ["one"]),
        ("strings.jsonl", '"one"\n"two"\n', ["one", "two"]),
        ("u2028.jsonl", '{"text": "one\u2028two"}\n', ["one\u2028two"]),
        ("surrogates.jsonl", '{"text": "a\\ud83d, \\ud83d\\ude00, \\u0000"}', ["a\ufffd, 😀, \ufffd"]),
        ("lines.jsonl", '{"text": "one\\n"}\n{"text": ""}\n{"text": "two\\n"}', ["one\n\ntwo\n"]),
        ("quotes.csv", 'text\n"two\nlines, ""quoted"""\nNA\n', ['two\nlines, "quoted"', "NA"]),
        ("long.csv", "text\n" + "x" * 200_000 + "\n", ["x" * 200_000]),
        ("numbers.csv", "id,words\n1,one\n2,two\n", ["one", "two"]),
        ("pipes.csv", "id|words\n1|a,b\n", ["a,b"]),
        ("ends.csv", "text,title\nthe text,A,\nmore,B,\n", ["the text", "more"]),
        ("blanks.csv", " text , label\nthe text,A\n", ["the text"]),
        ("feeds.jsonl", '{"text": "one\\n"}\n{"text": "two\\n"}\n', ["one\n", "two\n"]),
        ("exact.jsonl", '{"Text": "no", "text": "yes"}', ["yes"]),
        ("digits.jsonl", f'{{"text": "one", "n": {DIGITS}}}', ["one"]),
        ("digits.json", f'[{{"text": "one", "n": -{DIGITS}}}]', ["one"]),
    ],
)
def test_odd_tables(tmp_path, name, content, documents):
    write(tmp_path, **{name: content})
    assert read_table(tmp_path / name)[0] == documents


def test_rows_without_a_text_are_counted(tmp_path):
    rows = [json.dumps(dict(text=text)) for text in ROWS] + ['{"text": null}'] * 3 + ['{"id": 1}', "", '{"text": " "}']
    write(tmp_path, **{"d.jsonl": "\n".join(rows)})
    assert folder_corpus(tmp_path).account.endswith("left out: rows without text 5")


@pytest.mark.parametrize(
    "name, content, reason",
    [
        ("cut.jsonl", '{"text": "one"}\n{"text": "tw', "line 2 is not JSON"),
        ("pretty.jsonl", '{\n "text": "one"\n}', "line 1 is not JSON"),
        ("lists.jsonl", "[1, 2]\n[3]\n", "must have an object a row; there is a list"),
        (
            "other.json",
            '{"data": [\n{"text": "one"}]}',
            "line 1 is not JSON .*; needs an object a line, or one list of",
        ),
        ("chat.jsonl", '{"messages": [{"role": "user"}]}', "no column holds texts; there are messages"),
        ("two.jsonl", '{"title": "a", "body": "b"}', r"has several columns with texts \(title, body\); name one with"),
        ("ragged.csv", "a,b\n1,x\n1,2,3,4\n", "is no table"),
        ("shifted.csv", "label,text\npos,first half, second half\n" * 9, "is no table .*; texts with ',' need quotes"),
        ("empty.csv", "", "is no table"),
        ("no.parquet", "PAR1", "is no Parquet file"),
        ("no.jsonl.gz", "plain", r"cannot be read \(Not a gzipped file"),
        ("latin.csv", b"text\ncaf\xe9\n", "is not UTF-8 text"),
        ("deep.json", "[" * 200_000, r"line 1 is not JSON \(.*; needs an object a line"),
        ("spaces.csv", "text,text \nab,cd\nef,gh\n", "has several columns named 'text'; give each"),
        ("same.csv", "id,text, text\n1,ab,cd\n2,ef,gh\n", "has several columns named 'text'; give each"),
    ],
)
def test_refused_tables(tmp_path, name, content, reason):
    write(tmp_path, **{name: content})
    with pytest.raises(InputError, match=f"{name}': {reason}"):
        folder_corpus(tmp_path / name)


def test_parquet_with_two_columns_of_one_name(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table([["ab"], ["cd"]], names=["text", "text"]), tmp_path / "same.parquet")
    with pytest.raises(InputError, match="same.parquet': has several columns named 'text'; give each"):
        folder_corpus(tmp_path)


def test_a_column_by_name(tmp_path):
    write(tmp_path, **{"two.jsonl": '{"title": "a", "body": "b"}\n' * 2})
    assert read_table(tmp_path / "two.jsonl", "body")[0] == ["b", "b"]
    with pytest.raises(InputError, match="text_column='boddy': must be one of title, body"):
        get_corpus(str(tmp_path / "two.jsonl"), "boddy")


def test_json_that_is_named_as_text(tmp_path):
    write(tmp_path, **{"d.txt": "".join(json.dumps(dict(id=i, text=text)) + "\n" for i, text in enumerate(ROWS))})
    write(tmp_path, **{"braces.txt": "{not JSON}\n" * 50 + BOOK})
    assert "1 file (.txt, lines of JSON read as prose, 1); " in folder_corpus(tmp_path / "d.txt").account
    assert "1 file (.txt 1); " in folder_corpus(tmp_path / "braces.txt").account


def test_long_numbers_in_a_text(tmp_path):
    "Of a table that is named as text, and of a text."
    write(tmp_path, **{"pi.txt": f"{DIGITS}\nhello world\n", "d.txt": f'{{"n": {DIGITS}}}\n' * 3})
    assert "2 files (.txt 1, .txt, lines of JSON read as prose, 1); " in folder_corpus(tmp_path).account


def test_a_damaged_compressed_text(tmp_path):
    packed = gzip.compress(BOOK.encode())
    write(tmp_path, **{"good.txt": BOOK, "bad.txt.gz": packed[:10] + b"\xff" * 4 + packed[14:]})  # its head is whole
    with pytest.raises(InputError, match=r"bad.txt.gz': cannot be read \(Error -3 while decompressing data"):
        folder_corpus(tmp_path)


def test_documents_with_marks_between(tmp_path):
    stories = [prose(seed, 50) for seed in range(200)]
    write(tmp_path, **{"stories.txt": "\n<|endoftext|>\n".join(stories)})
    corpus = folder_corpus(tmp_path)
    assert set(corpus.train + corpus.valid) == set(stories)


def test_a_folder_as_people_have_it(tmp_path):
    "Any case, folders below, links, and what systems and programs leave; a link that leads back is no trap."
    write(tmp_path, **{"a.TXT": prose(1, 900), "below/b.Md": prose(2, 900), "elsewhere/c.txt": prose(3, 900)})
    hidden = "._a.txt", ".DS_Store", ".ipynb_checkpoints/a.txt", "__MACOSX/a.txt", "checkpoint-500/vocab.txt", "a.txt~"
    write(tmp_path, **dict.fromkeys(hidden, b"\0\1\2"), **{"p.pdf": b"%PDF", "notes": "no end"})
    (tmp_path / "below" / "up").symlink_to(tmp_path)
    (tmp_path / "below" / "gone.txt").symlink_to(tmp_path / "nowhere")
    write(tmp_path.with_name(tmp_path.name + "-linked"), **{"d.txt": prose(4, 900)})
    (tmp_path / "data").symlink_to(tmp_path.with_name(tmp_path.name + "-linked"))
    os.mkfifo(tmp_path / "pipe.txt")
    files, left_out = find_files(tmp_path)
    assert [file.name for file in files] == ["a.TXT", "b.Md", "d.txt", "c.txt"]
    assert left_out == {
        "hidden": 3,
        "hidden folders and checkpoints": 3,
        "no regular files": 2,
        ".pdf": 1,
        "without an end like .txt": 1,
    }
    assert "left out: hidden 3, " in folder_corpus(tmp_path).account


@pytest.mark.parametrize(
    "place, reason",
    [
        ("", "must name a folder or a file"),
        ("{folder}/pipe", "must be a folder or a regular file"),
        ("{folder}/none", r"has no file that ends in \.txt.*; there is other: \.pdf 1; a pattern"),
        ("{folder}/nowhere", "is neither a folder nor a file"),
        ("https://example.org/a.txt", "download it first"),
        ("some/set", "a data set of the hub is named hub:some/set"),
        ("{", "is neither a folder nor a file"),
        ("x" * 5_000, "is neither a folder nor a file"),
        ("{folder}/empty.txt", "documents that are not empty: 0"),
    ],
)
def test_refused_places(tmp_path, place, reason):
    os.mkfifo(tmp_path / "pipe")
    write(tmp_path, **{"none/p.pdf": b"", "empty.txt": b"\xef\xbb\xbf \r\n\t"})
    with pytest.raises(InputError, match=reason):
        get_corpus(place.replace("{folder}", str(tmp_path)))


def test_patterns_and_home(tmp_path, monkeypatch):
    write(tmp_path, **{"src/a.py": prose(1, 900), "src/deep/b.py": prose(2, 900), "c [1].txt": prose(3, 900)})
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert folder_corpus(tmp_path / "src/**/*.py") == folder_corpus("~/src/**/*.py")
    assert len(find_files(f"{tmp_path}/src/**/*.py")[0]) == 2
    assert len(find_files(tmp_path / "c [1].txt")[0]) == 1  # a name before it is a pattern


def test_odd_names(tmp_path):
    for name in ("中文 语料", "with\nline", "ca$$h", "-dash", os.fsdecode(b"not \xff utf-8")):
        write(tmp_path / name, **{"a.txt": prose(1, 900), "b.txt": prose(2, 900)})
        assert folder_corpus(tmp_path / name).train


def test_texts_from_python(tmp_path):
    texts = [prose(seed, 50) for seed in range(100)]
    write(tmp_path, **{"a.jsonl": "".join(json.dumps(dict(text=text)) + "\n" for text in texts)})
    assert get_corpus(texts).sha256 == get_corpus(tuple(texts)).sha256 == get_corpus(tmp_path / "a.jsonl").sha256
    assert split_documents("x", ["half \ud83d", "one", "two"]).train
    for wrong, reason in (
        ("one text", "must be a list of texts"),
        ([1, "a"], "holds int"),
        ([None, "a"], "holds NoneType"),
    ):
        with pytest.raises(InputError, match=reason):
            split_documents("x", wrong)


def test_the_account_of_nothing_special():
    corpus = split_documents("plain", [prose(seed, 50) for seed in range(100)])
    size = sum(map(len, corpus.train + corpus.valid))
    assert corpus.account == f"100 documents, {size:,} characters, 2.0% of them to validate with"


def test_python_s_library_says_so():
    assert get_corpus("stdlib").account.startswith("Python's standard library; ")


def test_a_folder_that_fills_while_it_is_read(tmp_path):
    "Ten thousand small files, and somebody who adds to them."
    for i in range(300):
        write(tmp_path, **{f"{i % 7}/{i}.txt": prose(i, 30)})
    adding = threading.Thread(target=lambda: [write(tmp_path, **{f"9/{i}.txt": prose(i, 30)}) for i in range(300, 400)])
    adding.start()
    corpus = folder_corpus(tmp_path)
    adding.join()
    assert 300 <= len(corpus.train + corpus.valid) <= 400
