"""/v1/credentials. Auth makes them; api passes the secret on once and keeps nothing of it."""

import secrets
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends

from services.api.access import PartsOf, needs
from services.api.customers import PROBLEMS, get_customer
from services.api.errors import Problem
from services.api.schemas import CredentialInput, CredentialOutput
from shared.bus import payloads, subjects
from shared.bus.connection import NoAnswer
from shared.domain.access import Principal
from shared.domain.names import public_id

#: Seconds that auth has to make a credential.
MINT_TIME: Final = 5.0

router = APIRouter(prefix="/v1/credentials", tags=["credentials"], responses=PROBLEMS)


@router.post("", status_code=201)
async def create_credential(
    body: CredentialInput, parts: PartsOf, principal: Annotated[Principal, Depends(needs("credentials:write"))]
) -> CredentialOutput:
    """Makes a credential for a customer. The answer has its secret, this once."""
    customer = await get_customer(parts, principal, body.customer_id)
    request = payloads.MintRequest(secrets.token_hex(16), str(customer.id), body.authcid or "")
    try:
        data = await parts.bus.request(subjects.AUTH_MINT, payloads.encode(request), MINT_TIME)
        answer = payloads.decode(payloads.MintAnswer, data)
    except (NoAnswer, payloads.BadPayload):
        raise Problem("unavailable", "The service that makes credentials does not answer; try again") from None
    if answer.error == "conflict":
        raise Problem("conflict", f"a credential by the name {body.authcid} is there already")
    if answer.error or answer.request_id != request.request_id:
        raise Problem("unavailable")
    return CredentialOutput(
        id=public_id("cred", UUID(answer.credential_id)),
        customer_id=public_id("cus", customer.id),
        authcid=answer.authcid,
        secret=answer.secret,
        mechanisms=["CRAM-MD5"],
    )
