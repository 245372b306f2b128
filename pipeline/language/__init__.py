"""Texts that people read, in the languages that policy names.

Code and templates have them in English; `<language>.po` beside this file has the others. Numbers
and dates are those of the language, after Unicode's CLDR (Babel).
"""
