"""What cannot be carried out is refused before any client begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attar.applications.continual.checking import (
    check_card,
    check_method,
    check_slimming,
    check_test,
    common_card,
)
from attar.applications.federated.contending import Contender
from attar.applications.federated.dividing import Parting, first_size
from attar.applications.federated.request import FEDAVG, FederatedRequest
from attar.condensing.planning import make_plan
from attar.errors import BadRequest
from attar.evaluation.given import refuse_other_steps
from attar.training import card as find_card


def check(
    request: FederatedRequest,
    contenders: Sequence[Contender],
    parting: Parting,
    reading: Mapping[str, Any],
) -> tuple[str, str]:
    """Refuse what some client could not do.

    Args:
        request: the options.
        contenders: the method, then its baselines.
        parting: what each client has.
        reading: how the data were read.

    Returns:
        The card by which all networks are trained, and the network of the method.

    Raises:
        BadRequest: no test images of a class, a share that is too small, or a method
            that cannot condense a part of the classes by itself.
    """
    splits = parting.splits
    check_test(splits)
    _check_shares(request, parting)
    found = [_check_contender(one, parting, reading) for one in contenders if not one.averages]
    # baselines are trained as the method is
    name, network = found[0]
    card = find_card(name)
    refuse_other_steps(card, {"--epochs": request.epochs, "--updates": request.updates})
    if card.learnt_steps:
        raise BadRequest(
            f"--card {name}: its steps are learnt with the set of one client, and networks are "
            "trained on those of all; choose another method, such as --method dm"
        )
    if card.kernel and FEDAVG in request.beside:
        raise BadRequest(
            f"--baselines {FEDAVG}: under --card {name} no network is trained, so that there are "
            "no weights to average; leave it out"
        )
    return name, network


def _check_shares(request: FederatedRequest, parting: Parting) -> None:
    shape, down = parting.splits.train.shape, "down"
    share = request.shared.share(request.clients, shape, down)
    most = max(map(len, parting.classes))
    if share < most:
        client = 1 + list(map(len, parting.classes)).index(most)
        raise BadRequest(
            f"--bandwidth {request.bandwidth}: of {request.shared.whole(shape)} full float32 "
            f"images each of {request.clients} clients may send {share}, fewer than one of each of "
            f"the {most} classes of client {client}; {most * request.clients} is the least"
        )


def _check_contender(
    contender: Contender, parting: Parting, reading: Mapping[str, Any]
) -> tuple[str, str]:
    """Return the card and the network of a method whose sets every client can make."""
    request, condensing, splits = contender.request, contender.condensing, parting.splits
    sizes = list(map(len, parting.classes))
    check_method(condensing, request.groups, alone=min(sizes) == 1)
    if request.clients > 1:
        check_slimming(request, condensing, splits, sizes)
    whole = request.shared.share(1, splits.train.shape, request.rounding)
    tried, card, network = set[tuple[int, int, int]](), "", ""
    for client, names in enumerate(parting.classes, start=1):
        own = parting.of(client)
        ipc = first_size(whole, own.train, request.rounding)
        fewest = min(map(len, own.train.indices_of_class))
        # others of as many classes are planned alike
        if (like := (len(names), ipc, fewest)) in tried:
            continue
        tried.add(like)
        asked = condensing.of(request.held, len(names), ipc, None)
        try:
            plan = make_plan(asked, own, reading, experts_later=True, draft=True)
        except BadRequest as error:
            raise BadRequest(f"client {client}: {error.text}") from None
        check_card(condensing, plan.recipe)
        if not card:
            card = common_card(request, condensing, splits) or plan.recipe.card
            network = find_card(card).network_for(splits.train.shape[1:]) or plan.network.name
    return card, network
