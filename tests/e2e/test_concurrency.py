"""Many searches at once get the answers that each gets alone."""

from concurrent.futures import ThreadPoolExecutor

import spar

NUM_REQUESTS = 32


def answer(client, prompt, mode):
    result = client.crystallize(prompt, mode=mode, improvement_round_count=1).explanation
    return (result.verdict, result.target.id, tuple(result.unit_id_deltas),
            tuple(position.index for position in result.positions))


def test_32_requests_at_once_are_answered_as_alone(server, queries):
    questions = [(queries[i][0], "sufficient") for i in range(7)]
    questions.append((queries[0][0], "grounded"))
    with spar.Client(server.address, model="demo") as client:
        alone = {question: answer(client, *question) for question in questions}
        with ThreadPoolExecutor(NUM_REQUESTS) as pool:
            asked = [questions[i % len(questions)] for i in range(NUM_REQUESTS)]
            together = list(pool.map(lambda question: answer(client, *question), asked))
    assert together == [alone[question] for question in asked]
    assert len(set(together)) > 1


def test_the_same_question_gets_the_same_certificate(client, queries):
    first, second = (client.crystallize(queries[1][0], mode="sufficient").explanation
                     for _ in range(2))
    assert first.certificate.canonical_json == second.certificate.canonical_json
