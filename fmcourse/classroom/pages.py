"""The pages of a grading, as templates. Every value is escaped unless a template says otherwise."""

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from fmcourse.course.showing import inline_html

LAYOUT = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{ title }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff }
h1 { font-size: 1.5rem }
h2 { font-size: 1.15rem; margin: 1.6rem 0 .3rem }
table { border-collapse: collapse; margin: .6rem 0 }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #ccc;
         vertical-align: top }
td.number, th.number { text-align: right }
pre { background: #f5f5f5; padding: .6rem; overflow-x: auto; font-size: .85rem }
section { border-left: 4px solid #0072B2; padding-left: 1rem }
section.right { border-color: #009E73 }
section.wrong { border-color: #D55E00 }
.small { color: #555; font-size: .9rem }
</style>
</head>
<body>
<h1>{{ title }}</h1>
{% block body %}{% endblock %}
</body>
</html>
"""

FEEDBACK = """\
{% extends "layout" %}
{% block body %}
{% set points = result.points | number ~ " of " ~ result.max_points | number ~ " points" %}
<p>
{%- if result.max_points %}<strong>{{ points }}</strong>{% endif -%}
{%- if n_practice %}
{%- if result.max_points %}, and {% endif -%}
{{ n_done }} of {{ n_practice }} practice exercises completed
{%- endif -%}
.</p>
{% for remark in result.remarks %}<p>{{ remark | inline }}</p>
{% endfor %}
{% for exercise_id, found in result.exercises.items() %}
{% set right = found.share == 1 %}
{% if right %}{% set sign, kind = "✓", "right" %}
{% elif found.verdict == "blank" %}{% set sign, kind = "○", "open" %}
{% else %}{% set sign, kind = "✗", "wrong" %}{% endif %}
{% set worth = ": " ~ found.points | number ~ " of " ~ found.of | number if found.of else "" %}
<section class="{{ kind }}">
<h2>{{ sign }} {{ exercise_id }}{{ worth }} · {{ found.verdict }}</h2>
{% for sentence in found.sentences %}<p>{{ sentence | inline }}</p>
{% endfor %}
{% if found.table %}<pre>{{ found.table | join("\\n") }}</pre>{% endif %}
{% if found.parts and not right %}
<table>
<tr><th>what counts</th><th class="number">weight</th><th class="number">earned</th></tr>
{% for part, weight, share in found.parts %}
<tr><td>{{ part }}</td><td class="number">{{ weight }}</td>
<td class="number">{{ share | percent }}</td></tr>
{% endfor %}
</table>
{% endif %}
{% if found.code %}
<details><summary>What was graded</summary><pre>{{ found.code }}</pre></details>
{% endif %}
</section>
{% endfor %}
{% endblock %}
"""

ITEMS = """\
{% extends "layout" %}
{% block body %}
<table>
<tr><th>exercise</th><th class="number">answered</th><th class="number">all right</th>
<th class="number">points</th><th class="number">seconds</th><th class="number">discrimination</th>
<th>commonest mistakes</th></tr>
{% for row in rows %}
<tr><td>{{ row.id }}</td>
<td class="number">{{ row.answered }} of {{ row.students }}</td>
<td class="number">{{ row.right | percent }}</td>
<td class="number">{{ row.mean | percent }}</td>
<td class="number">{{ row.seconds | decimals }}</td>
<td class="number">
{%- if row.discrimination is none %}–{% else %}{{ row.discrimination | decimals }}{% endif -%}
</td>
<td>{{ row.mistake_counts }}</td></tr>
{% endfor %}
</table>
<p class="small">Of those who handed something in. <em>All right</em> and <em>points</em>: of those
who answered it. <em>Seconds</em>: how long an answer took to run, in the middle.
<em>Discrimination</em>: the correlation of what was earned here with what was earned on all others
together, each counted alike; above 0.3 the exercise tells who knows from who does not, near 0 it
tells nothing, below 0 look at it; with fewer than {{ min_students }} students there is none.</p>
{% if remarks %}
<h2>Remarks</h2>
<table>
{% for student, remark in remarks %}
<tr><td>{{ student }}</td><td>{{ remark | inline }}</td></tr>
{% endfor %}
</table>
{% endif %}
{% if borrowed %}
<h2>Right for another's numbers</h2>
<ul>
{% for student, exercise, other in borrowed %}
<li>{{ exercise }}: the answer of {{ student }} is right for the numbers of {{ other }}</li>
{% endfor %}
</ul>
{% endif %}
<p class="small">{{ protection }}</p>
{% endblock %}
"""


def inline(text: str) -> Markup:
    """Escaped, with `code` in its own type."""
    return Markup(inline_html(text))


def number(value: float) -> str:
    return f"{value:g}"


def percent(share: float) -> str:
    return f"{share:.0%}"


def decimals(value: float) -> str:
    return f"{value:.2f}"


ENVIRONMENT = Environment(
    loader=DictLoader({"layout": LAYOUT, "feedback": FEEDBACK, "items": ITEMS}),
    autoescape=True,
    undefined=StrictUndefined,  # a misspelt name is an error, not an empty place
    trim_blocks=True,
)
ENVIRONMENT.filters |= {
    "inline": inline,
    "number": number,
    "percent": percent,
    "decimals": decimals,
}


def render_page(template: str, **values: object) -> str:
    """A page out of "feedback" or "items", as text that UTF-8 can hold."""
    page = ENVIRONMENT.get_template(template).render(**values)
    return page.encode(errors="backslashreplace").decode()
