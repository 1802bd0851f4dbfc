"""What a chain scanner remembers."""

from __future__ import annotations

from django.db import models

from kauri.core.models import Provider


class ChainBlock(models.Model):
    """A block the scanner has done, kept for the reorg depth. The highest one is the cursor."""

    provider = models.ForeignKey(Provider, models.PROTECT, related_name="blocks")
    height = models.BigIntegerField()
    hash = models.CharField(max_length=80)
    parent_hash = models.CharField(max_length=80)

    class Meta:
        ordering = ("-height",)
        constraints = (models.UniqueConstraint(fields=("provider", "height"), name="chain_block_once"),)

    def __str__(self) -> str:
        return f"{self.height}"
