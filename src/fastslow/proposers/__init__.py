"""Proposers: how a child context is made from its parent. See base.py for the protocol."""
