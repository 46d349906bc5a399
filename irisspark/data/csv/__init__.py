"""Bytes of a split -> Arrow -> numpy: the one way in which rows enter irisspark."""
