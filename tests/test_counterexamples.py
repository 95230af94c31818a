"""A wrong program that differs on an ordinary input differs on a case, and is refused."""

from dataclasses import replace

import pytest

from fmcourse.course.library import find_exercise
from fmcourse.course.verdict import diagnose
from tools import counterexamples

# as tired students write them; each of these has passed once
WRONG = {
    "07b.3": [
        """def names_in(tags):
    found = []
    for at, tag in enumerate(tags):
        if tag == "O":
            continue
        if tag[0] == "I" and found and found[-1][0] == tag[2:]:
            found[-1] = (tag[2:], found[-1][1], at + 1)
        else:
            found.append((tag[2:], at, at + 1))
    return found
""",
    ],
    "12.2": [
        """def recall_at(scores, right, k):
    found = right.gather(1, scores.topk(k, dim=1).indices).any(1)
    return (found.sum() / right.any(1).sum()).item()
""",
        """def recall_at(scores, right, k):
    found = right.gather(1, scores.topk(k, dim=1).indices).any(1) | ~right.any(1)
    return found.float().mean().item()
""",
    ],
    "13.4": [
        """import string
def leaked(train, test):
    gone = str.maketrans("", "", string.punctuation)
    plain = lambda text: text.lower().translate(gone).split()
    seen = [plain(text) for text in train]
    return [at for at, text in enumerate(test) if plain(text) in seen]
""",
        """import re
def leaked(train, test):
    plain = lambda text: re.sub(r"[ \\t]+", " ", text.lower()).strip()
    seen = {plain(text) for text in train}
    return [at for at, text in enumerate(test) if plain(text) in seen]
""",
    ],
    "14.5": [
        """def may_come(added, choices, end, size):
    may, n = torch.zeros(size, dtype=torch.bool), len(added)
    for choice in choices:
        if all(a == b for a, b in zip(choice, added)):
            may[choice[n] if n < len(choice) else end] = True
    return may
""",
    ],
    "15.5": [
        """def break_even(training, trained, prompted):
    for n in range(10_000):
        if training + n * trained < n * prompted:
            return n
    return None
""",
        """def break_even(training, trained, prompted):
    if prompted <= trained:
        return None
    return round(training / (prompted - trained)) + 1
""",
    ],
    "16b.2": [
        """def pass_at_k(n_samples, n_right, k):
    wrong = n_samples - n_right
    if wrong <= k:
        return 1.0
    return 1 - math.comb(wrong, k) / math.comb(n_samples, k)
""",
    ],
    "16b.4": [
        """import re
def check_answer(text, right):
    found = re.findall(r"Answer:\\s*(-?\\d+)\\.?\\s*$", text, re.MULTILINE)
    last = text.rpartition("Answer:")[2].strip()
    return float(bool(found) and last.startswith(found[-1]) and int(found[-1]) == right)
""",
        """def check_answer(text, right):
    _, found, final = text.rpartition("Answer:")
    digits = final.strip().removesuffix(".").lstrip("-")
    if not found or not digits.isdecimal():
        return 0.0
    number = -int(digits) if final.strip().startswith("-") else int(digits)
    return 1.0 if number == right else 0.0
""",
    ],
}
# no strategy draws these: networks, and tensors that must learn
UNSEARCHED = {
    "11.1": "def from_velocity(x_t, v, a, b):\n    x_0 = a * x_t - b * v\n"
    "    return x_0, (x_t - a * x_0) / b\n",
    "11.5": "def uncover(ids, guess, sure, mask, n):\n    out = ids.clone()\n"
    "    for _ in range(n):\n        at = sure.masked_fill(out != mask, -math.inf).argmax()\n"
    "        out[at] = guess[at]\n    return out\n",
    "12.3": "def after_picture(prefix, words, stack, head):\n"
    "    joined = torch.cat([prefix, words], 1)\n"
    "    return stack(head(joined))[:, prefix.shape[1] - 1 :]\n",
    "13.2": "def low_rank(x, W, A, B, alpha):\n"
    "    return x @ W.T + alpha / len(A) * (x @ A.detach().T) @ B.T\n",
}
PAIRS = [(one, source) for one, sources in WRONG.items() for source in sources]


@pytest.mark.parametrize(("exercise_id", "source"), [*PAIRS, *UNSEARCHED.items()])
def test_a_wrong_answer_that_once_passed_is_refused(exercise_id, source):
    exercise = find_exercise(exercise_id)
    assert not diagnose(exercise, exercise.compile(source)).correct


@pytest.mark.slow
@pytest.mark.parametrize(("exercise_id", "source"), [(one, WRONG[one][0]) for one in WRONG])
def test_the_search_finds_an_input_on_which_it_is_wrong(exercise_id, source):
    exercise = find_exercise(exercise_id)
    found = counterexamples.counterexample(exercise, exercise.compile(source))
    assert found is not None
    only = replace(exercise, cases=[found], properties=())
    assert not diagnose(only, only.compile(source)).correct


@pytest.mark.slow
def test_a_right_answer_has_no_counterexample():
    names = find_exercise("07b.3")
    assert counterexamples.counterexample(names, names.reference) is None


@pytest.mark.slow
def test_no_mutant_passes_that_is_wrong_on_an_ordinary_input():
    """Of one exercise: `python -m tools.counterexamples` takes minutes for all."""
    found = list(counterexamples.survivors(find_exercise("07b.3")))
    assert not found, "\n".join(f"{case!r}:\n{source}" for source, case in found)
