"""The default head: it reads the frozen base's attention and states at each field's key.

`trunk` finds where each value stands in the query, which fields the call has, and which candidate is meant; `canvas`
composes, by denoising, what the query does not say as it is written. `head` joins them behind the signature of all
heads.
"""
