"""The admission webhook: it checks choreographies and buses, and gives labelled pods their ambassador.

A request takes these hops: `server` (the life of the process, TLS of `certificate`), `endpoints` (HTTP), `admission`
(the review, read and written), then `validation` or `injecting`, which decide. Those two are functions of the request
and of the Store; a Store that is old or empty makes them say less, it never makes them fail.
"""
