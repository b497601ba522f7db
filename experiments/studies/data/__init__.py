"""D' that a study chooses itself: what its experiment imports beside processes."""
