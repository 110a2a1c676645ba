"""Files that people bring: what they are, how they read, and what of them is kept.

`source` opens a file and refuses bombs, `lines` and `columnar` give its rows as columns, `sniff` guesses
what they mean, a `recipe` says it, `rows` makes exact numbers of them and sets bad ones aside, `piece` cuts
the others into what `keep` keeps, each once.
"""
