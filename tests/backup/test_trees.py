"""Nothing from outside of a tree is read or copied, and what is written is its user's alone."""

import json
import os
import socket
import stat
from contextlib import closing

import pytest

from stage1_schema.errors import Stage1Error, VerificationError
from stage1_schema.ops import restore, trees

SECRET = "not of this tree"


@pytest.fixture
def outside(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text(SECRET)
    return tmp_path / "outside"


def link(path, outside):
    path.symlink_to(outside / "secret")


def link_to_directory(path, outside):
    path.symlink_to(outside)


def relative_link(path, outside):
    path.symlink_to("../" * len(path.parents) + str(outside / "secret").lstrip("/"))


def dangling(path, outside):
    path.symlink_to(outside / "nothing")


def pipe(path, outside):
    os.mkfifo(path)


def device(path, outside):
    if os.geteuid():  # only root may make one: a link to it is as good
        path.symlink_to("/dev/zero")
    else:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))


def plug(path, outside):
    with closing(socket.socket(socket.AF_UNIX)) as server:
        os.chdir(path.parent)  # its name may be short only
        server.bind(path.name)


STRANGE = [link, link_to_directory, relative_link, dangling, pipe, device, plug]


def named(functions):
    return [pytest.param(each, id=each.__name__) for each in functions]


def everything(path):
    """Return every file's text below a directory, links followed."""
    return [
        (name, file.read_bytes())
        for directory, _, names in os.walk(path, followlinks=True)
        for name in names
        if (file := path / directory / name).is_file()
    ]


@pytest.mark.parametrize("strange", named(STRANGE))
def test_copy_leaves_out_what_is_no_file(tmp_path, outside, strange, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "source"
    (source / "sub" / "empty").mkdir(parents=True)
    (source / "sub" / "file").write_text("text")
    strange(source / "sub" / "strange", outside)
    found = list(trees.copy(source, tmp_path / "target"))
    assert [(name, kind.value, file and file.bytes) for name, kind, file in found] == [
        ("sub", "directory", None),
        ("sub/empty", "directory", None),
        ("sub/file", "file", 4),
        ("sub/strange", "other", None),
    ]
    assert everything(tmp_path / "target") == [("file", b"text")]
    assert (tmp_path / "target" / "sub" / "empty").is_dir()


def test_root_that_is_a_link_is_not_copied(tmp_path, outside):
    (tmp_path / "source").symlink_to(outside)
    with pytest.raises(OSError, match="source"):
        list(trees.copy(tmp_path / "source", tmp_path / "target"))
    assert everything(tmp_path / "target") == []


def test_a_link_put_there_meanwhile_leads_nowhere(tmp_path, outside):
    """The directory is swapped for a link after it was listed, the file before it is opened."""
    source = tmp_path / "source"
    for name in ("a", "b"):
        (source / name).mkdir(parents=True)
        (source / name / "secret").write_text("inside")
    found = []
    for entry in trees.walk(source):
        if entry.name == "a":
            (source / "a").rename(tmp_path / "moved")
            (source / "a").symlink_to(outside)
            (source / "b" / "secret").unlink()
            (source / "b" / "secret").symlink_to(outside / "secret")
        found.append((entry.name, entry.stream and entry.stream.read()))
    assert found == [("a", None), ("a/secret", b"inside"), ("b", None), ("b/secret", None)]


@pytest.mark.parametrize("strange", named([link, link_to_directory, device]))
def test_backup_names_what_it_leaves_out(
    take, questdb_server, outside, tmp_path, strange, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path = questdb_server.directory / "conf" / "strange"
    strange(path, outside)
    try:
        result = take()
    finally:
        path.unlink()
    assert result.manifest.questdb.left_out == ("conf/strange",)
    assert SECRET.encode() not in dict(everything(result.path)).values()
    restore.copy_questdb(result.path, restore.read(result.path), tmp_path / "restored")


@pytest.mark.parametrize("strange", named([link, link_to_directory, pipe, device]))
def test_more_than_was_backed_up_is_refused(take, outside, tmp_path, strange):
    result = take()
    strange(result.path / "questdb" / "db" / "more", outside)
    with pytest.raises(VerificationError, match="db/more"):
        restore.read(result.path)
    with pytest.raises(VerificationError, match="db/more"):
        restore.copy_questdb(result.path, result.manifest, tmp_path / "restored")
    assert everything(tmp_path / "restored") == []


@pytest.mark.parametrize(
    "place",
    ["questdb", "questdb/conf", "questdb.sha256", "postgres.dump", "manifest.json"],
)
def test_part_that_is_a_link_is_refused(take, outside, place):
    """Whatever it leads to, the very same content too: it may be something else in a moment."""
    result = take()
    (result.path / place).rename(outside / "real")
    (result.path / place).symlink_to(outside / "real")
    with pytest.raises(Stage1Error):
        restore.read(result.path)


def test_file_that_changes_after_it_was_verified_is_not_restored(take, tmp_path):
    result = take()
    manifest = restore.read(result.path)
    conf = result.path / "questdb" / "conf" / "server.conf"
    conf.write_text("http.user=them")
    with pytest.raises(VerificationError, match="is damaged: conf/server"):
        restore.copy_questdb(result.path, manifest, tmp_path / "restored")
    assert everything(tmp_path / "restored") == []


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda m: m["files"].update({"../../secret": {"bytes": 1, "sha256": ""}}),
                     id="name that leads out"),
        pytest.param(lambda m: m["files"].pop("postgres.dump"), id="no dump"),
        pytest.param(lambda m: m["postgres"].update(tables=[1]), id="tables"),
        pytest.param(lambda m: m["postgres"].update(tables={"a": "many"}), id="rows"),
        pytest.param(lambda m: m["questdb"].update(bytes="1"), id="bytes"),
        pytest.param(lambda m: m.update(finished=7), id="time"),
        pytest.param(lambda m: m.update(postgres=None), id="no PostgreSQL"),
        pytest.param(lambda m: m.update(more=1), id="more"),
    ],
)  # fmt: skip
def test_manifest_that_no_backup_writes_is_refused(take, change):
    result = take()
    manifest = json.loads((result.path / "manifest.json").read_text())
    change(manifest)
    (result.path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(Stage1Error, match="is no whole backup"):
        restore.read(result.path)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077], ids=oct)
def test_backup_is_its_users_alone(take, stores, tmp_path, umask):
    """Also while it is written, and the directories made for it."""
    open_to_others = set()

    def look(_stage):
        below = (path for path in (tmp_path / "backups").rglob("*"))
        for path in (tmp_path / "backups", *below):
            if path.lstat().st_mode & 0o077:
                open_to_others.add(path)

    before = os.umask(umask)
    try:
        result = take(progress=look)
        target = tmp_path / "new" / "target"
        restore.copy_questdb(result.path, result.manifest, target)
    finally:
        os.umask(before)
    look("end")
    for path in (target.parent, target, *target.rglob("*")):
        if path.lstat().st_mode & 0o077:
            open_to_others.add(path)
    assert open_to_others == set()
