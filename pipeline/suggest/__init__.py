"""Drafts of data-map entries for exports that nobody has described yet."""
