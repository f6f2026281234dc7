"""Invoice: answers with one CloudEvent in structured mode."""

from server import serve


def invoice(request):
    """React to PaymentTaken with InvoiceIssued."""
    number = f"invoice-{request.data['id']}"
    issued = {
        "specversion": "1.0",
        "id": number,
        "source": "/invoice",
        "type": "InvoiceIssued",
        "data": {**request.data, "invoice": number},
    }
    return 200, {"Content-Type": "application/cloudevents+json"}, issued


serve(invoice)
