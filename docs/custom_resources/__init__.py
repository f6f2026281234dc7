"""The CustomResourceDefinitions, generated from the models of the contract.

`schema` turns a model into the kind of schema that the API server takes, `rules` adds what only CEL can say, and
`definitions` puts both into the manifest that is applied. `docs/generate.py` writes and compares the files.
"""
