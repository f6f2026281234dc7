"""The guide to an ambassador's own user of NATS: its permissions, as the code lists them for one service of the shop."""

import inspect

from msgspec.structs import replace

from choregos_ambassador import credentials
from choregos_contract.configuration import Idempotency
from choregos_contract.permissions import Permission, Permissions, permissions
from reference_pages.markdown import code, page, table
from reference_pages.samples import ROLE


def nats_permissions() -> str:
    """Return the page."""
    granted = permissions(ROLE.configuration)
    files = (inspect.getdoc(credentials) or "").partition("\n\n")[2]
    return page(
        "Give an ambassador its own NATS user",
        """
The boundary of trust is the NATS account: whoever has its credentials may do everything in it, and tenants need one each. Within
an account, a service's ambassador can have a user of its own that may do its part and no more.""",
        f"""
## The credentials

`CHOREGOS_NATS_CREDENTIALS` names a directory, one file each, as a Kubernetes Secret is mounted:

{files}

Where there are files for TLS, or the URL begins with `tls://`, a server that does not require TLS gets no credentials. Files that
cannot be used are told in the log (`nats`), with their paths, and tried again every second; the process stays. To rotate a
password, replace the files, then the server's: it cuts the connection, and the next one has the new password.

On Kubernetes the directory is the Secret `choregos-bus-<bus>` of the pod's namespace. The ambassador presents it to the servers
that the EventBus names, so whoever may write an EventBus can have it sent to servers of his choice: grant the right to write
`eventbuses` only to whom you would let read that Secret. Put the `ca.crt` of an authority into it that signs nothing but
your NATS servers, and no other server gets anything. A URL that holds a user, a password or a token is refused, in an EventBus and in the operator's
`CHOREGOS_NATS_URL`: pods would show it to everybody who may read them
([decision 11](../decisions/0011-credentials-of-buses-with-their-own-servers.md)).""",
        f"""
## The permissions

The ambassador of `{ROLE.service}` reacts to `{ROLE.event}`, may emit {_listed(ROLE.reaction.emits)}, and publishes
{_listed(ROLE.configuration.emits)} of its own accord. It publishes to""",
        _table(granted.publish),
        "and subscribes to",
        _table(granted.subscribe),
        "If one of its reactions has `idempotency`, it publishes to these as well, for the inbox:",
        _table(tuple(each for each in _with_inbox().publish if each not in granted.publish)),
        """
Until nats-server 2.14 an acknowledgement's subject begins `$JS.ACK.STREAM`; from 2.15 on, domain and account stand before the
stream. Grant both, and an upgrade changes nothing. As nats-server is told it:""",
        _configuration(granted.publish, granted.subscribe),
        """
`allow_responses` lets it answer NATS' service API (`nats micro ls`); without it, or without `$SRV.>`, all else works.

## When something is missing

A line `permission missing` names the action and the subject, at most every ten seconds for subjects that differ in their last
tokens only. Nothing is lost meanwhile: an event whose reply or dead letter may not be stored is handed back, one that may not be
acknowledged comes again, one that may not be claimed in the inbox is handed back, and the publish API answers 503 with the subject.
The server's configuration may be reloaded with the permission in it; what was missing is then there within seconds.

One exception: without `$KV`, an outage of the service that lasts for many deliveries cannot be told from an event that ends
the process each time, and such events become dead letters, reason `crash-loop`; and an outage that one ambassador has seen is not
known to the next. Without `CONSUMER.CREATE` and the advisories, events that expire unread are told, but counted too low.""",
    )


def _with_inbox() -> Permissions:
    reaction = replace(ROLE.reaction, idempotency=Idempotency(ttl=86400.0))
    return permissions(replace(ROLE.configuration, reactions=(reaction,)))


def _listed(events: tuple[str, ...]) -> str:
    return " and ".join(map(code, events))


def _table(granted: tuple[Permission, ...]) -> str:
    return table(("subject", "to"), ((code(each.subject), each.purpose) for each in granted))


def _configuration(publish: tuple[Permission, ...], subscribe: tuple[Permission, ...]) -> str:
    return f"""```conf
authorization {{
  users: [{{
    user: {ROLE.service}
    password: $PAYMENT_PASSWORD
    permissions: {{
      publish: [{_subjects(publish)}
      ]
      subscribe: [{_subjects(subscribe)}
      ]
      allow_responses: true
    }}
  }}]
}}
```"""


def _subjects(granted: tuple[Permission, ...]) -> str:
    return "".join(f'\n        "{each.subject}"' for each in granted)
