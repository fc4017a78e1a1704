"""Search over recorded sessions, on both databases: what is found, what is not, what comes first, what is shown."""

import json
from datetime import UTC, datetime

import pytest
from django.db import connection, transaction
from django.test import Client

from sessions import queries, search
from sessions.models import Exchange, SearchDocument, SearchSession, Session
from sessions.queries import SessionFilter
from sessions.search.documents import Kind, kind_of
from sessions.store import Store
from tests.support.exchanges import compact, events

pytestmark = pytest.mark.usefixtures("both_databases")


class Conversation:
    """A session of Anthropic's dialect that sends all of itself with each turn, as clients do."""

    def __init__(self, store: Store, name: str) -> None:
        self._store, self.name = store, name
        self.messages: list[dict] = []

    def turn(self, said: object, *answer: dict, **options: object) -> "Conversation":
        """Say something; the answer's blocks are sent back with the next turn."""
        self.messages.append({"role": "user", "content": said})
        blocks = list(answer or [{"type": "text", "text": "fine"}])
        body = {"model": "m", "system": "SYSTEMPROMPT word", "tools": [{"name": "TOOLLIST"}], "messages": self.messages}
        message = {
            "id": f"msg_{self.name}_{len(self.messages)}", "type": "message", "role": "assistant", "model": "m",
            "content": blocks, "stop_reason": "end_turn", "usage": {"input_tokens": 5, "output_tokens": 2},
        }  # fmt: skip
        given = {"answer": compact(message), "session": self.name, **options}
        self._store.apply(events(compact(body), **given))
        self.messages.append({"role": "assistant", "content": blocks})
        return self


@pytest.fixture
def converse(store):
    def begin(name: str, *turns: object) -> Conversation:
        found = Conversation(store, name)
        for said in turns:
            found.turn(said)
        return found

    return begin


def find(text: str, **wanted: object) -> list[str]:
    found = queries.find(SessionFilter(text_search=text, **wanted))
    names = [row.session_id for row in found[:50]]
    assert found.count() == len(names)
    return names


def text(value: str) -> dict:
    return {"type": "text", "text": value}


def call(name: str, **arguments: object) -> dict:
    return {"type": "tool_use", "id": f"call_{name}", "name": name, "input": arguments}


def result(value: object, name: str = "Bash") -> list[dict]:
    return [{"type": "tool_result", "tool_use_id": f"call_{name}", "content": value}]


def test_a_token_of_redaction_finds_all_sessions_that_have_it(converse):
    converse("one", "write to [EMAIL:a3f8e9d2], please")
    converse("two", "nothing").turn("see", text("card [CREDIT_CARD:12345678]"), call("Mail", to="[EMAIL:a3f8e9d2]"))
    converse("three", "write to [EMAIL:a3f8e9d3], and a3f8e9d2f, [SSN:a3f8e9d2]")
    for query in ("[EMAIL:a3f8e9d2]", "EMAIL:a3f8e9d2", "email:A3F8E9D2", "[EMAIL:A3F8E9D2]"):
        assert set(find(query)) == {"one", "two"}, query
    for query in ("a3f8e9d2", "A3F8E9D2", "A3f8e9D2", "[a3f8e9d2]"):
        assert set(find(query)) == {"one", "two", "three"}, query
    assert find("[CREDIT_CARD:12345678]") == find("12345678") == ["two"]
    assert find("[SSN:a3f8e9d2]") == ["three"]


# -- what is found --------------------------------------------------------------------------------------------


@pytest.fixture
def rich(converse) -> None:
    conversation = converse("other", "nothing of interest")
    conversation = converse("rich")
    conversation.turn(
        "<system-reminder>REMINDED</system-reminder>Please mend the Überprüfung of café menus",
        {"type": "thinking", "thinking": "ponder the imponderable", "signature": "s"},
        text("I look at getUserName in src/store/user_store.py"),
        call("Bash", command="grep -rn 'parse_http_header' .\nls /var/log"),
    )
    conversation.turn(
        result(
            'Traceback (most recent call last):\n  File "/srv/app.py", line 42, in foo(bar)\nValueError: it\'s C:\\temp'
        ),
        text("数据库连接失败 です。한국어도 합니다 हिन्दी में"),
    )


@pytest.mark.parametrize(
    "query",
    [
        "mend", "MEND", "uberprufung", "Überprüfung", "cafe", "café", "cafe\u0301", "ｍｅｎｄ",
        "imponderable", "bash", "grep", "parse_http_header", "parseHttpHeader", "parsehttpheader", "http", "var/log",
        "getUserName", "getusername", "get_user_name", "user name", "UserName", '"get user name"',
        "src/store/user_store.py", "user_store.py", "user_store", "store/user*", "userSt*",
        "Traceback", "app.py", '"line 42"', "foo(bar)", "ValueError:", "it's", "C:\\temp",
        "数据库", "连接", "据库连", "한국어", "국어", "हिन्दी", "です",
        "impond*", "mend -absent", "mend imponderable", '"unclosed mend', "mend *", "mend - -- \"", "ls",
    ],
)  # fmt: skip
def test_it_finds(rich, query):
    if query == '"unclosed mend':
        assert find(query) == []
        query = '"mend'
    assert find(query) == ["rich"]


@pytest.mark.parametrize(
    "query",
    [
        "REMINDED", "SYSTEMPROMPT", "TOOLLIST", "absent", "mend -grep", "imponder", "ender", '"mend please"', "user_names",
        "nls", "库数", '"name user"', "mend absent*",
    ],
)  # fmt: skip
def test_it_does_not_find(rich, query):
    assert find(query) == []


@pytest.mark.parametrize(
    "query", ["", " ", "*", "-", '"', '""', "()", "\x00", "🚀", "%", "' OR 1=1 --", "NEAR(", "AND"]
)
def test_anything_that_is_typed_is_text_and_no_error(rich, query):
    assert set(find(query)) <= {"rich", "other"}


def test_text_without_a_word_leaves_the_list_as_it_is(rich):
    assert set(find('* - "')) == {"rich", "other"}


def test_only_excluded_words_leave_the_rest(rich):
    assert find("-mend") == ["other"]


def test_an_error_is_found(converse):
    conversation = converse("broken")
    conversation.turn("hello", error="upstream_broken", error_message="the cable was gnawed")
    assert find("gnawed") == ["broken"]


def test_a_title_is_found_and_a_new_one_takes_its_place(converse, store):
    title = {"model": "m", "messages": [{"role": "user", "content": "errand about gherkins"}]}
    store.apply(events(compact(title), session="s"))
    assert Session.objects.get().title == "errand about gherkins"
    converse("s", "the real question")
    assert Session.objects.get().title == "the real question"
    assert find("real") == find("gherkins") == ["s"]
    assert SearchDocument.objects.filter(exchange_id=None).count() == 1
    assert SearchSession.objects.get().title == "the real question"


def test_a_title_alone_has_a_snippet_without_an_exchange(both_databases):
    session = Session.objects.create(session_id="s", title="about gherkins", started_at=datetime.now(UTC), requests=1)
    while search.Backfill().step():
        pass
    assert find("gherkins") == ["s"]
    assert search.snippets("gherkins", [session]) == {
        session.pk: [search.Snippet("title", "", (("about ", False), ("gherkins", True)))]
    }


def test_other_dialects_are_found(store):
    chat = {
        "model": "m",
        "messages": [{"role": "system", "content": "hidden"}, {"role": "user", "content": "aubergine"}],
    }
    store.apply(events(compact(chat), path="/v1/chat/completions", provider="openai", session="chat"))
    responses = {"model": "m", "input": [{"role": "user", "content": [{"type": "input_text", "text": "courgette"}]}]}
    store.apply(events(compact(responses), path="/v1/responses", provider="openai", session="responses"))
    whole = {"model": "m", "input": "rutabaga"}
    store.apply(events(compact(whole), path="/v1/responses", provider="openai", session="whole"))
    assert [find(word) for word in ("aubergine", "courgette", "rutabaga", "hidden")] == [
        ["chat"], ["responses"], ["whole"], [],
    ]  # fmt: skip


def test_a_message_and_an_answer_are_indexed_once_however_often_they_are_sent(converse):
    conversation = converse("s")
    for number in range(4):
        conversation.turn(f"question {number}", text(f"answer {number}"))
    kinds = [kind_of(d.id).name for d in SearchDocument.objects.order_by("id")]
    assert kinds == ["TITLE"] + ["PERSON"] * 4 + ["ANSWER"] * 4


def test_a_history_that_was_rewritten_is_not_indexed_again(converse, store):
    conversation = converse("s", "first words", "second words", "third words")
    count = SearchDocument.objects.count()
    conversation.messages[0] = {"role": "user", "content": "first words, abridged"}
    conversation.turn("fourth words")
    assert SearchDocument.objects.count() - count == 2  # what was abridged, and the fourth


# -- what comes first -----------------------------------------------------------------------------------------


def test_words_of_people_come_before_what_tools_said(converse):
    converse("asked", "where is the teapot")
    conversation = converse("read", "look around")
    conversation.turn(result("teapot teapot teapot"))
    assert find("teapot") == ["asked", "read"]


def test_words_in_one_place_come_before_words_in_several(converse):
    converse("apart", "a gasket", "of a flange", "gasket again", "flange again")
    converse("together", "the gasket of the long and winding flange which has rusted for years and years")
    converse("half", "only a gasket")
    assert find("gasket flange") == ["together", "apart"]


def test_of_equals_the_later_comes_first(converse):
    for name in ("one", "two", "three"):
        converse(name, "sundial")
    assert find("sundial") == ["three", "two", "one"]


def test_sort_and_filters_combine_with_it(converse):
    for name in ("one", "two", "three"):
        converse(name, *["sundial"] * (len(name) - 2))
    assert find("sundial", sort="started") == ["one", "two", "three"]
    assert find("sundial", session_id="two") == ["two"]
    assert [row.session_id for row in queries.find(SessionFilter())] == ["three", "two", "one"]


def test_many_hits_are_counted_instead_of_weighed(converse, monkeypatch):
    monkeypatch.setattr("sessions.search.ranking.WEIGHED", 0)
    converse("once", "sundial")
    converse("often", "sundial one", "sundial two", "sundial three")
    assert find("sundial") == ["often", "once"]


# -- what is shown --------------------------------------------------------------------------------------------


def shown(query: str) -> list[tuple[str, str]]:
    (found,) = search.snippets(query, list(queries.find(SessionFilter(text_search=query)))).values()
    return [(s.kind, "".join(f"[{part}]" if hit else part for part, hit in s.parts)) for s in found]


def test_snippets_mark_each_match_best_first(converse):
    conversation = converse("s")
    conversation.turn("where is my Teapot?", text("the teapot is in the kitchen"), call("Find", what="teapot"))
    assert shown("teapot") == [
        ("person", "where is my [Teapot]?"),
        ("answer", "the [teapot] is in the kitchen"),
        ("call", 'Find {"what":"[teapot]"}'),
    ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("getusername", "call [get_user_name](x) or [getUserName] in Straße"),
        ("getUserName", "call [get_user_name](x) or [getUserName] in Straße"),
        ("user", "call get_[user]_name(x) or get[User]Name in Straße"),
        ("strasse", "call get_user_name(x) or getUserName in [Straße]"),
        ("name(x", "call get_user_[name(x]) or getUserName in Straße"),
        ("us* strasse", "call get_[user_name](x) or get[UserName] in [Straße]"),
    ],
)
def test_snippets_show_code_as_it_was_written(converse, query, expected):
    converse("s", "call get_user_name(x) or getUserName in Straße")
    assert shown(query) == [("person", expected)]


def test_a_snippet_is_cut_around_its_match(converse):
    converse("s", "lorem ipsum " * 100 + "the needle lies here " + "dolor sit amet " * 100)
    ((_, piece),) = shown("needle")
    assert piece.startswith("…")
    assert piece.endswith("…")
    assert "the [needle] lies here" in piece
    assert len(piece) < 180


def test_words_in_several_places_have_a_snippet_each(converse):
    converse("s", "a gasket", "of a flange")
    assert {piece for _, piece in shown("gasket flange")} == {"a [gasket]", "of a [flange]"}


def test_a_snippet_names_its_exchange(converse):
    converse("s", "first", "second teapot")
    (found,) = search.snippets("teapot", list(Session.objects.all())).values()
    assert found[0].request_id == Exchange.objects.latest("pk").request_id


def test_the_api_gives_a_snippet_that_is_safe_to_show(converse):
    converse("s", "look at <script> & <b>teapots</b>")
    (found,) = Client().get("/sessions?text_search=teapots").json()
    assert found["snippet"] == "look at &lt;script&gt; &amp; &lt;b&gt;<mark>teapots</mark>&lt;/b&gt;"
    assert found["match_request_id"] == Exchange.objects.get().request_id
    (plain,) = Client().get("/sessions").json()
    assert (plain["snippet"], plain["match_request_id"]) == (None, None)


# -- long texts, removal, backfill ----------------------------------------------------------------------------


def test_a_long_text_is_found_to_its_end_and_across_its_cuts(converse):
    words = [f"w{number}" for number in range(6000)]
    converse("s", " ".join(words))
    assert SearchDocument.objects.filter(exchange_id__isnull=False).count() > 3
    for number in (0, 1995, 1999, 2000, 3990, 5990):
        assert find(f'"{" ".join(words[number : number + 5])}"') == ["s"], number


def test_a_text_of_a_single_word_over_and_over_is_found(converse):
    converse("s", "spam " * 40_000 + "eggs")
    assert find("spam") == find("eggs") == find('"spam eggs"') == ["s"]


def index_rows() -> int:
    with connection.cursor() as cursor:
        table = "search_index" if connection.vendor == "sqlite" else "search_documents"
        cursor.execute(f"SELECT count(*) FROM {table}")
        return cursor.fetchone()[0]


def test_what_is_removed_is_not_found_and_leaves_nothing(converse, rich, both_databases):
    converse("s", "spam " * 3000, "mend the teapot")
    keep = SearchDocument.objects.filter(id__lt=Session.objects.get(session_id="s").pk << 24).count()
    with transaction.atomic():
        search.remove([Session.objects.get(session_id="s").pk])
        Session.objects.get(session_id="s").delete()
    assert find("spam") == find("teapot") == []
    assert find("mend") == ["rich"]
    assert SearchDocument.objects.count() == keep
    search.remove(list(Session.objects.values_list("pk", flat=True)))
    assert index_rows() == 0
    assert SearchSession.objects.count() == 0
    if both_databases == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO search_index(search_index) VALUES ('integrity-check')")
            cursor.execute("CREATE VIRTUAL TABLE temp.terms USING fts5vocab(main, search_index, row)")
            cursor.execute("SELECT term FROM terms")
            assert cursor.fetchall() == []


def people() -> list[tuple[int, bytes]]:
    """What persons said, as it is indexed."""
    rows = [d for d in SearchDocument.objects.all() if kind_of(d.id) is Kind.PERSON]
    return sorted((row.exchange_id, bytes(row.blob)) for row in rows)


def forget_the_index() -> None:
    search.remove(list(Session.objects.values_list("pk", flat=True)))


def test_what_was_recorded_before_is_found_after_a_backfill_in_steps(converse, rich, monkeypatch):
    monkeypatch.setattr("sessions.search.indexing.STEP", 2)
    converse("s", *[f"teapot number {number}" for number in range(7)])
    before = people()
    forget_the_index()
    assert find("teapot") == []
    search.Backfill().step()
    assert SearchSession.objects.get().upto is not None  # the newest session, in part
    while search.Backfill().step():  # each goes on where the one before was ended
        pass
    assert find("teapot") == ["s"]
    assert find("mend") == ["rich"]
    assert people() == before


def test_an_exchange_that_comes_during_the_backfill_is_indexed_once(converse, monkeypatch):
    monkeypatch.setattr("sessions.search.indexing.STEP", 2)
    conversation = converse("s", *[f"teapot number {number}" for number in range(4)])
    forget_the_index()
    conversation.turn("before any of it")
    search.Backfill().step()
    conversation.turn("in the middle of it")
    backfill = search.Backfill()
    while backfill.step():
        pass
    conversation.turn("after all of it")
    for said in ("before any", "in the middle", "after all"):
        assert find(f'"{said} of it"') == ["s"]
    assert len(people()) == 7


def test_what_could_not_be_written_is_indexed_when_it_comes_again(converse, store, monkeypatch):
    conversation = converse("s", "first")
    monkeypatch.setattr(store._index, "write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        conversation.turn("teapot")
    monkeypatch.undo()
    conversation.messages.pop()
    conversation.turn("teapot")
    assert find("teapot") == ["s"]


def test_arguments_are_searched_as_they_were_meant(converse):
    conversation = converse("s")
    arguments = json.dumps({"text": "one\ntwo\tthree", "list": [{"deep": "caf\u00e9\\n"}]})
    conversation.turn("hello", call("Write", **json.loads(arguments)))
    for word in ("two", "three", '"text one two"', "deep", "cafe"):
        assert find(word) == ["s"]
    assert find("ntwo") == []


def test_a_session_that_begins_with_nothing_said_is_found_as_well(store, record):
    """Its first exchange may be one that no model answers."""
    record(b"{}", session="late", path="/v1/unheard/of")
    record(compact({"model": "m", "messages": [{"role": "user", "content": "zebrafinch"}]}), session="late")
    assert Client().get("/sessions?text_search=zebrafinch").json()[0]["session_id"] == "late"
