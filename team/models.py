"""Users are Django's; here is what they have besides."""

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models


class Token(models.Model):
    """Lets a client's requests be its user's. Only a digest is kept."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=100, help_text="what has it, such as a machine")
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    hint = models.CharField(max_length=8, editable=False, help_text="its last characters")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="empty: never")

    class Meta:
        db_table = "team_tokens"
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} (…{self.hint})"


class Account(models.Model):
    """What is kept of a user beside Django's row; a user may have none."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="account")
    must_change_password = models.BooleanField(
        default=False, help_text="somebody else knows it: it lets in to be changed, and to nothing else"
    )
    told_until = models.DateTimeField(
        null=True, help_text="when they last looked at what others did that concerns them"
    )

    class Meta:
        db_table = "team_accounts"

    def __str__(self) -> str:
        return str(self.user)


class Project(models.Model):
    """A project whose sessions its members share: by the name that sessions have (``X-Project-ID``)."""

    name = models.CharField(max_length=255, unique=True)
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="shared_projects", blank=True)

    class Meta:
        db_table = "team_projects"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Invitation(models.Model):
    """A user who is to be a member of a project: from when they accept, and one who has sessions in it consents (membership.py)."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="invitations")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="invitations")
    by = models.CharField(max_length=150, help_text="who invited")
    at = models.DateTimeField(auto_now_add=True)
    accepted = models.BooleanField(default=False)
    consented_by = models.CharField(max_length=150, blank=True)

    class Meta:
        db_table = "team_invitations"
        ordering = ["at", "pk"]
        constraints = [models.UniqueConstraint(fields=["project", "user"], name="team_invitations_once")]

    def __str__(self) -> str:
        return f"{self.user} to {self.project}"


class Limit(models.Model):
    """What a user may use; the row without a user is for all who have none of their own. Empty: any amount."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, help_text="empty: everybody else"
    )
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    tokens_per_day = models.PositiveBigIntegerField(null=True, blank=True)
    usd_per_month = models.FloatField("USD per month", null=True, blank=True, validators=[MinValueValidator(0)])

    class Meta:
        db_table = "team_limits"
        constraints = [
            models.UniqueConstraint(
                models.Value(1), condition=models.Q(user=None), name="team_limits_one_default",
                violation_error_message="There is a limit for everybody else already.",
            )
        ]  # fmt: skip

    def __str__(self) -> str:
        return str(self.user) if self.user else "everybody else"


class Login(models.Model):
    """How the identity provider knows a user: names may be given away there, a subject never is."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="oidc_login")
    issuer = models.CharField(max_length=255)
    subject = models.CharField(max_length=255)

    class Meta:
        db_table = "team_logins"
        constraints = [models.UniqueConstraint(fields=["issuer", "subject"], name="team_logins_once")]

    def __str__(self) -> str:
        return f"{self.subject} at {self.issuer}"


class AuditEntry(models.Model):
    """Who read, exported, deleted or changed what. By name: a user may be deleted, what they did stays."""

    at = models.DateTimeField(db_index=True)
    user = models.CharField(max_length=150, db_index=True)
    action = models.CharField(
        max_length=16,
        help_text="read, search, list, export, delete, change, login, member, credential, role, refused, token",
    )
    target = models.CharField(max_length=500, help_text="the address that was asked")
    status = models.PositiveSmallIntegerField(help_text="of the answer")
    address = models.CharField(max_length=64, help_text="of the client")
    subject = models.CharField(
        max_length=150, default="", blank=True, help_text="whom it concerns, where that is another"
    )

    class Meta:
        db_table = "team_audit"
        ordering = ["-at", "-pk"]
        verbose_name_plural = "audit entries"
        indexes = [models.Index(fields=["subject", "-at"], name="team_audit_subject")]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.user} {self.action} {self.target}"
