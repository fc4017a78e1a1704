"""Who comes to share a project: nobody without their own consent, and nobody reads what others recorded without one of theirs.

An administrator invites. The invited accept on their account page, for from then on their sessions of the project are read by its
other members. Where the project has members or sessions, one of these members, or where there is none, of the owners of these
sessions, consents as well. Whoever has the server's command line can do without (`lunaroute-server users share`).
"""

from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from sessions.models import Session
from team.models import Invitation, Project


def invite(project: Project, user: Any, by: Any) -> Invitation | None:
    """Invite `user`; None where they are a member already. A member who invites has consented with that."""
    if project.members.filter(pk=user.pk).exists():
        return None
    consented_by = by.get_username() if is_inside(by, project) and by != user else ""
    found, _ = Invitation.objects.get_or_create(
        project=project, user=user, defaults={"by": by.get_username(), "consented_by": consented_by}
    )
    return found


def is_inside(user: Any, project: Project) -> bool:
    """Tell whether `user` may let others in: a member, or where there is none, who owns a session of it."""
    if project.members.exists():
        return project.members.filter(pk=user.pk).exists()
    return Session.objects.filter(project=project.name, owner=user.get_username()).exists()


def needs_consent(project: Project, user: Any) -> bool:
    """Tell whether somebody else has to agree that `user` joins: others share it, or have sessions of it."""
    others = Session.objects.filter(project=project.name).exclude(owner=user.get_username())
    return project.members.exclude(pk=user.pk).exists() or others.exists()


def accept(invitation: Invitation) -> bool:
    """Take the consent of the invited. Gives whether they are a member now."""
    with transaction.atomic():
        Invitation.objects.filter(pk=invitation.pk).update(accepted=True)
        return _complete(invitation)


def consent(invitation: Invitation, by: Any) -> bool:
    """Take the consent of somebody inside. Gives whether the invited is a member now; False where `by` may not."""
    if invitation.user == by or not is_inside(by, invitation.project):
        return False
    with transaction.atomic():
        Invitation.objects.filter(pk=invitation.pk).update(consented_by=by.get_username())
        return _complete(invitation)


def _complete(invitation: Invitation) -> bool:
    # Two first members who accept at once: the second waits, and then sees that there is a first.
    project = Project.objects.select_for_update().get(pk=invitation.project_id)
    now = Invitation.objects.select_related("user").filter(pk=invitation.pk).first()
    if now is None or not now.accepted or (not now.consented_by and needs_consent(project, now.user)):
        return False
    project.members.add(now.user)
    now.delete()
    return True


def to_decide(user: Any) -> QuerySet[Invitation]:
    """Give the invitations to projects that `user` is inside of, and on which nobody inside has decided."""
    inside = Q(project__members=user) | Q(
        project__members=None, project__name__in=Session.objects.filter(owner=user.get_username()).values("project")
    )
    found = Invitation.objects.filter(inside, consented_by="").exclude(user=user)
    return found.select_related("project", "user").distinct()
