"""Each turn of a call: where its latency went, which engines answered, and what they cost.

Not append-only: it is history, and not money, and may be forgotten one day.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ROLES = ("speech_to_text", "dialogue", "text_to_speech", "speech_to_speech")
LATENCY = (
    "endpointing_ms", "transcript_ms", "first_token_ms", "first_sentence_ms", "first_audio_ms",
    "first_packet_ms", "gap_ms", "answer_ms",
)  # fmt: skip
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "turn_records",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("usage_id", sa.String(64), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=True) for name in LATENCY),
        *(sa.Column(role, sa.String(161), nullable=True) for role in ROLES),
        sa.Column("failovers", sa.Integer(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("cost_micros", sa.JSON(), nullable=False),
        sa.Column("unpriced", sa.Integer(), nullable=False),
        sa.Column("uses", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_turn_records"),
        sa.ForeignKeyConstraint(
            ["usage_id"], ["usage_leases.usage_id"], name="fk_turn_records_usage_id"
        ),
        sa.CheckConstraint(
            "outcome IN ('completed', 'cancelled', 'failed', 'unanswered')",
            name=op.f("ck_turn_records_outcome"),
        ),
    )
    op.create_index(
        "ix_turn_records_usage_id_turn", "turn_records", ["usage_id", "turn"], unique=True
    )
    op.create_index("ix_turn_records_started_at", "turn_records", ["started_at"])
    for role in ROLES:
        answered = sa.text(f"{role} IS NOT NULL")
        op.create_index(
            f"ix_turn_records_{role}_started_at_gap_ms",
            "turn_records",
            [role, "started_at", "gap_ms"],
            postgresql_where=answered,
            sqlite_where=answered,
        )


def downgrade() -> None:
    op.drop_table("turn_records")
