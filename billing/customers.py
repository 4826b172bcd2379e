"""Who can call and pay: for now one local user, and anonymous ones.

A user is found by handle or made once, however many servers look at the same moment: the
handle is unique and so is the key of every grant, so the loser of a race finds what the
winner made.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from .database import Database, insert_once
from .ledger import Ledger, Posted, Wallet
from .postings import grant
from .pricing import MINUTE
from .records import UserAccount

LOCAL, ANONYMOUS = "local", "anonymous"


@dataclass(frozen=True, slots=True)
class Customer:
    """A user account. `kind` is local or anonymous."""

    user_id: int
    kind: str
    name: str


class Customers:
    """`demo_minutes` are granted to everybody once; `local_credit`, in minor units of
    `currency`, to the local user, who plays with money of their own server."""

    def __init__(
        self, database: Database, *, currency: str, demo_minutes: int, local_credit: int
    ) -> None:
        self.ledger = Ledger(database)
        self.currency = currency
        self._database = database
        self._demo_minutes, self._local_credit = demo_minutes, local_credit

    async def local_user(self) -> Customer:
        """The one who runs this server. Raises `DatabaseAway`."""
        return await self._find_or_make(LOCAL, LOCAL, "Local user", self._local_credit)

    async def anonymous_user(self, token: str) -> Customer:
        """Somebody known only by a token. Raises `DatabaseAway`, ValueError for a token
        that is empty or longer than 80 characters."""
        if not token or len(token) > 80:
            raise ValueError("an anonymous user needs a token of 1 to 80 characters")
        return await self._find_or_make(f"{ANONYMOUS}:{token}", ANONYMOUS, "Anonymous", 0)

    async def grant(
        self, user_id: int, *, minutes: int = 0, money: int = 0, reason: str = "grant", key: str
    ) -> Posted:
        """Give minutes and money once per key. Raises ValueError for negative amounts."""
        if minutes < 0 or money < 0:
            raise ValueError("a grant gives; taking away is an adjustment")
        funds = {MINUTE: minutes, self.currency: money}
        entry = grant(user_id, funds, source=reason, key=key)
        return await self._database.write(lambda session: self.ledger.post(session, entry))

    async def wallet(self, user_id: int) -> Wallet:
        return await self.ledger.wallet(user_id)

    async def _find_or_make(self, handle: str, kind: str, name: str, credit: int) -> Customer:
        found = await self._database.read(lambda session: _find(session, handle))
        if found is not None:
            return found
        return await self._database.write(
            lambda session: self._make(session, handle, kind, name, credit)
        )

    async def _make(
        self, session: AsyncSession, handle: str, kind: str, name: str, credit: int
    ) -> Customer:
        """The account and its first grants, together or not at all."""
        now = self._database.moment()
        await insert_once(session, UserAccount, handle=handle, kind=kind, name=name, created_at=now)
        customer = await _find(session, handle)
        assert customer is not None
        first = {"demo": {MINUTE: self._demo_minutes}, "credit": {self.currency: credit}}
        for source, funds in first.items():
            if any(funds.values()):
                key = f"user:{customer.user_id}:{source}"
                await self.ledger.post(
                    session, grant(customer.user_id, funds, source=source, key=key)
                )
        return customer


async def _find(session: AsyncSession, handle: str) -> Customer | None:
    statement = select(UserAccount).where(UserAccount.handle == handle)
    account = (await session.execute(statement)).scalar()
    return Customer(account.id, account.kind, account.name) if account is not None else None
