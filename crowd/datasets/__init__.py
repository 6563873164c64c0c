"""Data sets out: releases (frozen sets of accepted images), exports, and progress figures."""
