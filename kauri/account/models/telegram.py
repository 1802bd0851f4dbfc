"""One-time links between an account and a Telegram user."""

from django.db import models

from kauri.account.models.people import User
from kauri.common import clock


class TelegramLink(models.Model):
    """A code that ties whoever sends it to the bot to the account that asked for it. Only its hash is kept."""

    user = models.ForeignKey(User, models.PROTECT, related_name="telegram_links")
    code_hash = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(default=clock.now)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        indexes = (models.Index(fields=("user",), name="telegram_link_by_user"),)

    def __str__(self) -> str:
        return f"{self.user}"
