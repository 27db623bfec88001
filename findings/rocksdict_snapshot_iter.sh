#!/bin/sh
# rocksdict 0.3.29: an iterator of a snapshot is not at the snapshot.
#
# Snapshot is described as "a consistent view of the database at the point of creation", and Snapshot.iter() as "an
# iterator over the data in this snapshot". A single key read from a snapshot is what it was. Its iter(), items(), keys()
# and values() show what was written and deleted after the snapshot was taken, with and without ReadOptions, in the
# default column family and in another. What stays at its moment is an iterator that was opened before the write.
#
# Output seen (Linux x86-64, Python 3.11, 2026-12-01):
#   default: snapshot[b'k1'] = b'old'
#   default: snapshot.iter() = [(b'k1', b'new'), (b'k2', b'later')]
#   default: snapshot.items() = [(b'k1', b'new'), (b'k2', b'later')]
#   default: iterator opened before = [(b'k1', b'old')]
#   and the same for the family "other".
#
# Source: src/snapshot.rs of the package's repository, github.com/rocksdict/RocksDict: `iter` sets the snapshot on a
# temporary copy of the read options, and builds the iterator from the ones without it.
#
# Ends with 0 while this is so, and with 1 when it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check rocksdict==0.3.29
"$folder/venv/bin/python" - "$folder/db" <<'PYTHON'
import sys

from rocksdict import Options, Rdict


def walked(iterator):
    found = []
    iterator.seek_to_first()
    while iterator.valid():
        found.append((iterator.key(), iterator.value()))
        iterator.next()
    iterator.status()
    return found


options = Options(raw_mode=True)
options.create_if_missing(True)
options.create_missing_column_families(True)
database = Rdict(sys.argv[1], options, {"other": Options(raw_mode=True)})
before, after = [(b"k1", b"old")], [(b"k1", b"new"), (b"k2", b"later")]
is_so = True
for name, family in (("default", database), ("other", database.get_column_family("other"))):
    family[b"k1"] = b"old"
    snapshot, opened = family.snapshot(), family.iter()
    family[b"k1"] = b"new"
    family[b"k2"] = b"later"
    single = snapshot[b"k1"]
    seen = {
        "snapshot.iter()": walked(snapshot.iter()),
        "snapshot.items()": list(snapshot.items()),
        "iterator opened before": walked(opened),
    }
    print(f"{name}: snapshot[b'k1'] = {single!r}")
    for what, pairs in seen.items():
        print(f"{name}: {what} = {pairs!r}")
    is_so &= single == b"old" and list(seen.values()) == [after, after, before]
sys.exit(0 if is_so else 1)
PYTHON
