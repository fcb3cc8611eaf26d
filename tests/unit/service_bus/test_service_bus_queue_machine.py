"""Everything together: anything in any order, and the broker may be killed at any time."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from local.service_bus.data_file import DataFile
from local.service_bus.errors import BrokerError, MessageLockLostError, MessageNotFoundError
from local.service_bus.queue_settings import QueueSettings
from local.service_bus.settlement import Outcome, Settlement
from local.service_bus.storage import open_with_dead_letters
from local.service_bus.stored import LOCKED_STATES, MessageState, StoredMessage
from tests.unit.service_bus.sent_messages import sent

if TYPE_CHECKING:
    from uuid import UUID

    from local.service_bus.queue import Queue

LOCK_MS = 1_000
SETTINGS = QueueSettings(
    "q",
    lock_duration_ms=LOCK_MS,
    max_delivery_count=3,
    default_time_to_live_ms=20 * LOCK_MS,
    dead_letter_on_expiration=True,
)


def as_kept(stored: StoredMessage) -> tuple[object, ...]:
    """All of a message that has to outlive the broker."""
    properties = stored.broker_properties(with_lock=False)
    return stored.content, properties, stored.expires_at_ms, stored.state_without_lock


class QueueMachine(RuleBasedStateMachine):
    """Does anything in any order and checks that no message is lost, doubled, or un-counted."""

    tokens: Bundle[UUID] = Bundle("tokens")

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path(tempfile.mkdtemp())
        self._open()
        self.now_ms = 0
        self.sent = 0
        self.removed: list[object] = []
        self.counts: Counter[object] = Counter()

    def _open(self) -> None:
        self._stack = ExitStack()
        self.data_file = self._stack.enter_context(DataFile(self._folder))
        self.queue = open_with_dead_letters(SETTINGS, self.data_file)

    def teardown(self) -> None:
        self._stack.close()
        shutil.rmtree(self._folder)

    @rule(count=st.integers(1, 3), delay_ms=st.none() | st.integers(0, 3 * LOCK_MS))
    def send(self, count: int, delay_ms: int | None) -> None:
        due_ms = None if delay_ms is None else self.now_ms + delay_ms
        batch = [sent(self.sent + n, scheduled_enqueue_time_ms=due_ms) for n in range(count)]
        self.queue.enqueue(batch, self.now_ms)
        self.sent += count

    @rule(target=tokens, dead=st.booleans())
    def lock(self, dead: bool) -> Any:
        locked = self._pick(dead=dead).lock_next(self.now_ms)
        return multiple() if locked is None or locked.lock_token is None else locked.lock_token

    @rule(dead=st.booleans())
    def take(self, dead: bool) -> None:
        taken = self._pick(dead=dead).take_next(self.now_ms)
        if taken is not None:
            self.removed.append(taken.content.message_id)

    @rule(token=tokens, outcome=st.sampled_from(Outcome), dead=st.booleans())
    def settle(self, token: UUID, outcome: Outcome, dead: bool) -> None:
        queue = self._pick(dead=dead)
        queue.advance(self.now_ms)
        locked = queue.life.locked.get(token)
        try:
            queue.settle(token, Settlement(outcome), self.now_ms)
        except BrokerError:
            return
        assert locked is not None
        if outcome is Outcome.COMPLETE:
            self.removed.append(locked.content.message_id)

    @rule(token=tokens)
    def renew(self, token: UUID) -> None:
        try:
            assert self.queue.renew([token], self.now_ms) == [self.now_ms + LOCK_MS]
        except MessageLockLostError:
            assert token not in self.queue.life.locked

    @rule(target=tokens, data=st.data())
    def receive_deferred(self, data: st.DataObject) -> Any:
        deferred = [each for each in self.queue.peek(0, 10**6) if each.state is MessageState.DEFERRED]
        if not deferred:
            return multiple()
        chosen = data.draw(st.sampled_from(deferred))
        try:
            (locked,) = self.queue.receive_deferred([chosen.sequence_number], self.now_ms)
        except MessageNotFoundError:
            return multiple()
        return multiple() if locked.lock_token is None else locked.lock_token

    @rule(step_ms=st.sampled_from([1, LOCK_MS // 2, LOCK_MS, 5 * LOCK_MS]))
    def let_time_pass(self, step_ms: int) -> None:
        self.now_ms += step_ms
        self.queue.advance(self.now_ms)

    @rule()
    def commit(self) -> None:
        self.data_file.commit()

    @rule()
    def restart(self) -> None:
        before = [as_kept(stored) for stored in self._stored()]
        self.data_file.commit()
        self._stack.close()
        self._open()
        assert [as_kept(stored) for stored in self._stored()] == before

    def _pick(self, *, dead: bool) -> Queue:
        return self.queue.dead_letters if dead and self.queue.dead_letters is not None else self.queue

    def _stored(self) -> list[StoredMessage]:
        return [*self.queue.peek(0, 10**6), *self._pick(dead=True).peek(0, 10**6)]

    @invariant()
    def every_message_is_in_one_place(self) -> None:
        places = Counter([stored.content.message_id for stored in self._stored()] + self.removed)
        assert places == Counter(range(self.sent))

    @invariant()
    def locks_and_states_agree(self) -> None:
        for stored in self._stored():
            locked = stored.state in LOCKED_STATES
            assert (stored.lock_token is not None) == (stored.locked_until_ms is not None) == locked
        for token, stored in self.queue.life.locked.items():
            assert stored.lock_token == token
            assert stored.locked_until_ms is not None
            assert stored.locked_until_ms > self.now_ms - 5 * LOCK_MS

    @invariant()
    def delivery_counts_only_grow(self) -> None:
        for stored in self._stored():
            assert stored.delivery_count >= self.counts[stored.content.message_id]
            self.counts[stored.content.message_id] = stored.delivery_count

    @invariant()
    def what_is_active_can_be_had(self) -> None:
        active = any(stored.state is MessageState.ACTIVE for stored in self.queue.peek(0, 10**6))
        assert self.queue.has_ready() == active


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
