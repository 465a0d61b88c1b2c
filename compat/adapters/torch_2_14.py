"""torch 2.14: what differs from 2.15."""

