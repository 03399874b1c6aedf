"""reStructuredText as HTML, by docutils; the one module that knows it. Nothing is included, run or fetched; what only
Sphinx knows, what nobody knows and what is written wrong keeps its words.
"""

import re
from functools import cache

from docutils import nodes
from docutils.core import publish_parts
from docutils.parsers.rst import Directive, directives, roles
from docutils.parsers.rst.states import Inliner
from docutils.readers import standalone
from docutils.transforms import Transform

_SETTINGS = {
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "_disable_config": True,
    "report_level": 5,
    "halt_level": 6,
    "warning_stream": False,
    "input_encoding": "unicode",
    "doctitle_xform": True,
    "syntax_highlight": "none",
    "math_output": "LaTeX",
    "embed_stylesheet": False,
    "stylesheet_path": "",
    "line_length_limit": 1_000_000,
    "pep_references": False,
    "rfc_references": False,
    "smart_quotes": False,
}
_ROLES = (
    "ref", "doc", "term", "any", "numref", "option", "envvar", "keyword", "token", "abbr", "command", "dfn",
    "file", "guilabel", "kbd", "mailheader", "makevar", "manpage", "menuselection", "mimetype", "newsgroup",
    "program", "regexp", "samp", "class", "func", "meth", "mod", "attr", "exc", "data", "const", "obj", "confval",
    "setting", "py:class", "py:func", "py:meth", "py:mod", "py:attr", "py:exc", "py:data", "py:const", "py:obj",
    "c:func", "c:type", "download", "index", "eq", "issue", "pr",
)  # fmt: skip
_KEEPING = (
    "versionadded", "versionchanged", "deprecated", "seealso", "rubric", "centered", "hlist", "glossary",
    "productionlist", "tab", "tabs", "tab-item", "tab-set", "dropdown", "card", "grid", "grid-item", "only",
    "collapse", "details", "topic", "sidebar",
)  # fmt: skip
_CODE = ("code-block", "sourcecode", "highlight-code", "prompt", "doctest", "testcode", "parsed-literal-block")
_SILENT = (
    "toctree", "index", "currentmodule", "module", "highlight", "autosummary", "literalinclude", "automodule",
    "autoclass", "autofunction",
)  # fmt: skip


_ERROR = 3
_LINES_OF_TITLE = 3
# `.. name::` before what a directive says, and the rules under and over a title.
_DIRECTIVE = re.compile(r"\A\.\.[ \t]+[\w:+.-]+::[ \t]*")
_RULES = re.compile(r"^([^\w\s])\1+$", re.MULTILINE)
_OPTION = re.compile(r"^[ \t]*:[\w-]+:.*\n?", re.MULTILINE)


def html(text: str) -> str:
    """A page of HTML with the text's own title as its first heading."""
    _teach()
    page: str = publish_parts(text, reader=_Reader(), writer="html5", settings_overrides=_SETTINGS)["html_body"]
    return page


@cache
def _teach() -> None:
    """Make docutils read what Sphinx adds. Once a process."""
    for role in _ROLES:
        roles.register_local_role(role, _words)
    for name in _KEEPING:
        directives.register_directive(name, _Keeping)
    for name in _CODE:
        directives.register_directive(name, _Code)
    for name in _SILENT:
        directives.register_directive(name, _Silent)


class _KeepFaulty(Transform):  # type: ignore[misc]
    """What docutils read as an error is text: it would go with the message about it."""

    # Before messages are filtered (docutils.transforms.universal, 860 and 870).
    default_priority = 850

    def apply(self) -> None:
        for message in list(self.document.findall(nodes.system_message)):
            sources = [child for child in message if isinstance(child, nodes.literal_block)]
            if message["level"] >= _ERROR and sources and message.parent is not None:
                message.replace_self(_faulty(sources[-1].astext()))


def _faulty(source: str) -> list[nodes.Node]:
    """A directive as the paragraphs within it, a title as its words, anything else (a table) line by line."""
    if begin := _DIRECTIVE.match(source):
        argument, _, rest = source[begin.end() :].partition("\n")
        parts = [argument, *re.split(r"\n[ \t]*\n", _OPTION.sub("", rest))]
    elif len(source.split("\n")) <= _LINES_OF_TITLE:
        parts = [_RULES.sub("", source)]
    else:
        return [nodes.literal_block(source, source)]
    return [nodes.paragraph("", said) for part in parts if (said := " ".join(part.split()))]


class _Reader(standalone.Reader):  # type: ignore[misc]
    def get_transforms(self) -> list[type[Transform]]:
        return [*super().get_transforms(), _KeepFaulty]


def _words(
    _name: str, _raw: str, text: str, _line: int, _inliner: Inliner, _options: object = None, _content: object = None
) -> tuple[list[nodes.Node], list[nodes.Node]]:
    """A reference as its words: `the words <target>` or `~module.name`."""
    shown = text.partition(" <")[0] if text.endswith(">") and " <" in text else text
    return [nodes.literal("", shown.lstrip("~!"))], []


class _Keeping(Directive):  # type: ignore[misc]
    """A directive whose argument and content are text."""

    optional_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec = None

    def run(self) -> list[nodes.Node]:
        holder = nodes.container()
        if self.arguments:
            holder += nodes.paragraph("", self.arguments[0])
        self.state.nested_parse(self.content, self.content_offset, holder)
        return [holder]


class _Code(Directive):  # type: ignore[misc]
    """A directive whose content is code, its options of no interest."""

    optional_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec = dict.fromkeys(
        ("linenos", "lineno-start", "emphasize-lines", "caption", "name", "dedent", "force", "class"),
        directives.unchanged,
    )

    def run(self) -> list[nodes.Node]:
        code = "\n".join(self.content)
        return [nodes.literal_block(code, code)]


class _Silent(Directive):  # type: ignore[misc]
    """A directive that says nothing a reader of the source would search for."""

    optional_arguments = 100
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[nodes.Node]:
        return []
