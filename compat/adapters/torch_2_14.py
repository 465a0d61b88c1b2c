"""torch 2.14: no difference from 2.15."""
