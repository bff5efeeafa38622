"""README.md is the index notebook, rendered."""

import readme
from check import check_readme
from repository_kit import cell, printed, result, save

SITE = "https://lts-nb.github.io/lts_nb"
THERE, GONE = f"[build]({SITE}/cli/top.html#build)", f"[sky]({SITE}/sky.html)"
NO_PAGE = "README.md: links to sky.html of the site, which no notebook makes"
RENDERED = """\
<!-- generated from nbs/index.ipynb; edit there -->

# T

![p](nbs/images/p.png) [c](CHANGELOG.md#x) [w](https://x.org) `a[0](b)`
<img src="nbs/images/q.png">

[r]: nbs/03_r.ipynb

```python
x = d['k'](1)
```

```text
one
```

|a|
|-|
|[b](nbs/b.ipynb)|

```python
frame
```

```text
  a
0 1
```
"""


def test_readme_faults(repo):
    (repo / "README.md").write_text("edited by hand", encoding="utf-8")
    assert [fault for fault in check_readme(repo) if "is not what nbs/index.ipynb says" in fault]
    save(repo / "nbs/index.ipynb", cell("# lts_nb\n\n> A promise.\n\n[gone](04_gone.html)"))
    assert [fault for fault in check_readme(repo) if "links to nbs/04_gone.html" in fault]
    save(
        repo / "nbs/index.ipynb",
        cell(f"# lts_nb\n\n> A promise.\n\n[build]({SITE}/cli/top.html#build) [s]({SITE}/sky.html)"),
    )
    assert [fault for fault in check_readme(repo) if "of the site" in fault] == [NO_PAGE]
    save(repo / "nbs/index.ipynb", cell("1", result(image_png="AAAA", text_plain="<Figure>")))
    assert [fault for fault in check_readme(repo) if "makes no README: an image output" in fault]


def test_readme_rendering(tmp_path):
    links = "![p](images/p.png) [c](../CHANGELOG.md#x) [w](https://x.org) `a[0](b)`"
    save(
        tmp_path / "nbs/index.ipynb",
        cell(f'# T\n\n{links}\n<img src="images/q.png">\n\n[r]: 03_r.ipynb'),
        cell("#| hide\nimport os"),
        cell("#| eval: false\nx = d['k'](1)", printed("one\n")),
        cell("#| echo: false\ntable", result(text_markdown="|a|\n|-|\n|[b](b.ipynb)|", text_plain="plain")),
        cell("frame", result(text_html="<table>", text_plain="  a\n0 1")),
    )
    assert readme.render(tmp_path) == RENDERED
