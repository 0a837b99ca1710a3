"""Membership inference against condensed sets."""
