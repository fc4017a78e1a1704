"""The pages of figures, asked for by Django's own client."""

import pytest


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/ui/", "/ui/analytics"])
def test_without_a_session_only_that_and_notices_are_asked_for(client, path, django_assert_num_queries):
    with django_assert_num_queries(2):
        answer = client.get(path, headers={"host": "localhost"})
    assert answer.status_code == 200
