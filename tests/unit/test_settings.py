"""Where the stores are, by the environment, a .env file and the local servers."""

import os
import time

import psutil
import pytest

from stage1_schema import settings
from stage1_schema.errors import SettingsError
from stage1_schema.servers import state

QUESTDB = {"STAGE1_QUESTDB_REST": "http://questdb.example:9000"}
POSTGRES = {"STAGE1_POSTGRES_HOST": "db.example"}
SECRET = "s3cret@/?"


@pytest.fixture
def load(tmp_path):
    return lambda given: settings.load(
        {"STAGE1_LOCAL_DIR": str(tmp_path / "local"), **given}, directory=tmp_path
    )


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        pytest.param(
            POSTGRES,
            {
                "host": "db.example",
                "port": "5432",
                "dbname": "stage1_trading",
                "user": "stage1_app",
            },
            id="defaults of the contract",
        ),
        pytest.param(
            {
                **POSTGRES,
                "STAGE1_POSTGRES_PORT": "6543",
                "STAGE1_POSTGRES_DB": "other",
                "STAGE1_POSTGRES_USER": "me",
                "STAGE1_POSTGRES_PASSWORD": SECRET,
                "STAGE1_POSTGRES_SSLMODE": "require",
            },
            {
                "host": "db.example",
                "port": "6543",
                "dbname": "other",
                "user": "me",
                "password": SECRET,
                "sslmode": "require",
            },
            id="every part",
        ),
        pytest.param(
            {"STAGE1_POSTGRES_URL": "postgresql://me:pw@db.example:6543/other?sslmode=disable"},
            {
                "host": "db.example",
                "port": "6543",
                "dbname": "other",
                "user": "me",
                "password": "pw",
                "sslmode": "disable",
            },
            id="URL",
        ),
        pytest.param(
            {"STAGE1_POSTGRES_URL": "postgresql:///other?host=/run/postgresql"},
            {"host": "/run/postgresql", "port": "5432", "dbname": "other", "user": "stage1_app"},
            id="socket directory",
        ),
        pytest.param(
            {"STAGE1_POSTGRES_URL": "host=a,b port=1,2 dbname=d user=u"},
            {"host": "a,b", "port": "1,2", "dbname": "d", "user": "u"},
            id="keywords and several hosts",
        ),
        pytest.param(
            {
                "STAGE1_POSTGRES_URL": "postgresql://me@db.example/other",
                "STAGE1_POSTGRES_PASSWORD": SECRET,
                "STAGE1_POSTGRES_SSLMODE": "require",
                "STAGE1_POSTGRES_HOST": "ignored",
            },
            {
                "host": "db.example",
                "port": "5432",
                "dbname": "other",
                "user": "me",
                "password": SECRET,
                "sslmode": "require",
            },
            id="URL with the secret apart",
        ),
    ],
)
def test_postgres(load, given, wanted):
    assert dict(load({**QUESTDB, **given}).postgres.parameters) == wanted


@pytest.mark.parametrize(
    ("given", "url"),
    [
        pytest.param({"STAGE1_QUESTDB_REST": "http://q:9000"}, "http://q:9000", id="base URL"),
        pytest.param({"STAGE1_QUESTDB_REST": "https://q/"}, "https://q", id="no port"),
        pytest.param({"STAGE1_QUESTDB_HOST": "q"}, "http://q:9000", id="ILP host only"),
    ],
)
def test_questdb(load, given, url):
    loaded = load({**POSTGRES, **given}).questdb
    assert (loaded.url, loaded.connect_timeout_ms, loaded.rest_timeout_ms) == (url, 5_000, 60_000)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        pytest.param(
            {},
            "PostgreSQL and QuestDB are not set and no local server runs in .*local.*make up"
            ".*STAGE1_POSTGRES_HOST.*STAGE1_QUESTDB_REST",
            id="nothing",
        ),
        pytest.param(
            {**QUESTDB, "STAGE1_POSTGRES_DB": "x"}, "STAGE1_POSTGRES_DB is set but", id="no host"
        ),
        pytest.param(
            {**QUESTDB, **POSTGRES, "STAGE1_POSTGRES_PORT": "http"}, "'http'", id="port a word"
        ),
        pytest.param(
            {**QUESTDB, **POSTGRES, "STAGE1_POSTGRES_PORT": "70000"}, "65535", id="port too high"
        ),
        pytest.param(
            {**QUESTDB, "STAGE1_POSTGRES_URL": f"postgresql://me:{SECRET}@h:x:y/d"},
            "STAGE1_POSTGRES_URL is not a libpq",
            id="broken URL",
        ),
        pytest.param(
            {**POSTGRES, "STAGE1_QUESTDB_REST": "questdb:9000"}, "not a base URL", id="no scheme"
        ),
        pytest.param(
            {**POSTGRES, "STAGE1_QUESTDB_REST": "http://me:pw@q:9000"},
            "STAGE1_QUESTDB_PASSWORD",
            id="login in the URL",
        ),
        pytest.param(
            {**POSTGRES, "STAGE1_QUESTDB_REST": "http://q:9000/?user=me&password=pw"},
            "STAGE1_QUESTDB_PASSWORD",
            id="login behind the URL",
        ),
        pytest.param(
            {**POSTGRES, "STAGE1_QUESTDB_REST": "http://q:99999"}, "port", id="QuestDB port"
        ),
        pytest.param(
            {**POSTGRES, **QUESTDB, "STAGE1_QUESTDB_REST_TIMEOUT_MS": "1s"},
            "STAGE1_QUESTDB_REST_TIMEOUT_MS is '1s'",
            id="timeout with a unit",
        ),
    ],
)
def test_unusable_settings_say_what_to_do(load, given, told):
    with pytest.raises(SettingsError, match=told) as error:
        load(given)
    assert SECRET not in str(error.value)
    assert "pw" not in str(error.value)
    assert "Next:" in str(error.value)


def test_environment_wins_over_dotenv(load, tmp_path):
    (tmp_path / ".env").write_text(
        "STAGE1_POSTGRES_HOST=from-file\nSTAGE1_POSTGRES_USER=file-user\n"
        "STAGE1_QUESTDB_REST=http://file:9000\n"
    )
    loaded = load({"STAGE1_POSTGRES_HOST": "from-environment"})
    assert loaded.postgres.where == "from-environment:5432/stage1_trading"
    assert loaded.postgres.parameters["user"] == "file-user"
    assert loaded.questdb.where == "file:9000"


@pytest.fixture
def local(tmp_path):
    """Local servers that run, by their state file: a function that records them."""
    (tmp_path / "local").mkdir()
    me = psutil.Process()
    identity = {"pid": me.pid, "started": me.create_time()}
    postgres = state.PostgresState(
        "127.0.0.1", 5, "stage1_trading", "owner", SECRET, "app", SECRET, **identity
    )
    questdb = state.QuestDBState("http://127.0.0.1:6", 6, **identity)

    def record(*, with_postgres=True, with_questdb=True):
        found = (postgres if with_postgres else None, questdb if with_questdb else None)
        state.write(tmp_path / "local", state.LocalState(*found))

    record()
    return record


def test_local_servers_are_used_where_nothing_is_set(load, local):
    loaded = load({})
    assert loaded.postgres.local
    assert loaded.questdb.local
    assert loaded.targets() == (
        "PostgreSQL 127.0.0.1:5/stage1_trading as owner, QuestDB http://127.0.0.1:6"
    )


@pytest.mark.parametrize("running", [True, False], ids=["local servers", "no local server"])
@pytest.mark.parametrize(
    ("given", "missing", "told", "targets"),
    [
        pytest.param(
            POSTGRES,
            "questdb",
            "PostgreSQL is set and QuestDB is not set; .*never.*Next: set STAGE1_QUESTDB_REST, or "
            ".*-x questdb=skip",
            "PostgreSQL db.example:5432/stage1_trading as stage1_app, QuestDB not set",
            id="no QuestDB",
        ),
        pytest.param(
            QUESTDB,
            "postgres",
            "QuestDB is set and PostgreSQL is not set; .*never.*Next: set STAGE1_POSTGRES_HOST, .*"
            "unset STAGE1_QUESTDB_REST",
            "PostgreSQL not set, QuestDB http://questdb.example:9000",
            id="no PostgreSQL",
        ),
    ],
)
def test_a_store_is_never_paired_with_a_local_one(
    load, request, given, missing, told, targets, running
):
    if running:
        request.getfixturevalue("local")
    loaded = load(given)
    assert loaded.targets() == targets
    store = getattr(loaded, missing)
    assert not store.local
    for use in (lambda: store.parameters, lambda: store.url, lambda: settings.require(store)):
        with pytest.raises(SettingsError, match=told):
            use()


@pytest.mark.parametrize("store", ["postgres", "questdb"])
def test_a_local_server_that_does_not_run_is_missed_where_it_is_used(load, local, store):
    local(**{f"with_{store}": False})
    with pytest.raises(SettingsError, match=r"does not\. Next: make up"):
        settings.require(getattr(load({}), store))


def test_dead_local_servers_are_not_used(load, tmp_path):
    gone = {"pid": os.getpid(), "started": time.time() + 1000}  # the pid was given to another
    (tmp_path / "local").mkdir()
    state.write(
        tmp_path / "local",
        state.LocalState(questdb=state.QuestDBState("http://127.0.0.1:6", 6, **gone)),
    )
    with pytest.raises(SettingsError, match="no local server runs"):
        load({})


def test_no_repr_shows_a_password(load):
    given = {
        **POSTGRES,
        **QUESTDB,
        "STAGE1_POSTGRES_PASSWORD": SECRET,
        "STAGE1_QUESTDB_PASSWORD": SECRET,
    }
    loaded = load(given)
    assert SECRET not in repr(loaded)
    assert loaded.questdb.password == SECRET
    assert SECRET not in loaded.postgres.where


def test_roles_have_names_of_their_own(load):
    given = {**POSTGRES, **QUESTDB, "STAGE1_APP_ROLE": "trader", "STAGE1_READONLY_ROLE": "viewer"}
    roles = load(given).roles
    assert (roles.owner, roles.app, roles.readonly) == ("stage1_owner", "trader", "viewer")
