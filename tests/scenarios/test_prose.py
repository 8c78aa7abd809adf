"""Prose out of reStructuredText: paragraphs with their headings, no markup, no code."""

from __future__ import annotations

import pytest

from scenarios.prose import Paragraph, paragraphs, plain

SOURCE = """
.. _label:

*****
Clock
*****

:Author: Nobody at all

The :mod:`clock` module tells the time of day to those who ask it politely, and to
others ``too``, as ever::

    >>> clock.now()
    12

Alarms
======

.. class:: Alarm(hour)

   An :class:`~clock.Alarm` rings at its hour every day, until somebody who cares
   about sleep takes the battery out of it.

* The list is not prose, whatever it says about the many alarms that it names.

Bells
-----

Too short to be prose.

A bell rings once; see `the manual <https://example.org>`_ for what a *gong* does
and why nobody has heard one since.

Hands
=====

Hands point at hours and at minutes, and at nothing else in all the years they move.
"""


def test_paragraphs_carry_the_headings_above_them() -> None:
    assert list(paragraphs(SOURCE)) == [
        Paragraph(
            "The clock module tells the time of day to those who ask it politely, and to others too, as ever:",
            ("Clock",),
        ),
        Paragraph(
            "An clock.Alarm rings at its hour every day, until somebody who cares about sleep takes the battery "
            "out of it.",
            ("Clock", "Alarms"),
        ),
        Paragraph(
            "A bell rings once; see the manual for what a gong does and why nobody has heard one since.",
            ("Clock", "Alarms", "Bells"),
        ),
        Paragraph(
            "Hands point at hours and at minutes, and at nothing else in all the years they move.",
            ("Clock", "Hands"),
        ),
    ]


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        (":func:`range`", "range"),
        (":class:`~collections.deque`", "collections.deque"),
        (":ref:`the grammar <grammar>`", "the grammar"),
        (":keyword:`!if`", "if"),
        ("``a*b``", "a*b"),
        ("**very** *old*", "very old"),
        ("`PEP 8 <https://peps.example>`__", "PEP 8"),
    ],
)
def test_markup_becomes_what_it_shows(markup, text) -> None:
    assert plain(markup) == text
