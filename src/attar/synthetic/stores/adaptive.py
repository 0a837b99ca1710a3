"""An array of rows that is kept as low-rank factors, each matrix with a rank of its own.

Shape letters: N rows, B rows asked for, M matrices (channels of rows), H height, W width, r mean
rank, K components of rank 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from attar.errors import BadRequest
from attar.rng import Key
from attar.synthetic.stores.factors import check_rank, low_rank_values
from attar.synthetic.stores.moves import Move
from attar.synthetic.stores.store import Store, largest
from attar.synthetic.stores.touched import rows_of

# updates from one move of components to the next, and the share of them that moves at most
EVERY = 25
SHARE = 0.05
# of a run whose length is known, the part after which none moves, so that all are trained
LAST = 0.75
# of so many times as many of the least components those are taken that may go
_FEW = 4


class AdaptiveRank(Store):
    """Each channel of each row is a sum of products l·rᵀ, as many as it needs.

    K components are shared out among the M = N·C matrices, one at least to each, and lie in the
    order of these. ``first`` tells where the components of a matrix begin, by 1 among zeros. All
    of it together has as many values as factors of rank r, so K is a little less than M·r.

    Args:
        count: number of rows N.
        item: shape of a row; its last two dimensions are H and W.
        rank: r, in 2…min(H, W).

    Raises:
        BadRequest: the rows have no height and width, or the rank is out of range.
    """

    first: Tensor
    counts: Tensor
    begins: Tensor

    # the name of what says how many components each matrix has
    TOLD = "first"

    def __init__(self, count: int, item: tuple[int, ...], rank: int) -> None:
        super().__init__(count, item)
        check_rank(rank, item)
        if rank == 1:
            raise BadRequest(
                "--rank auto: a mean rank of 1 leaves nothing to share out, since every channel "
                "has one component at least; give 2 or more, or --rank 1"
            )
        *lead, height, width = item
        values = count * low_rank_values(item, rank)
        self.each = math.prod(lead)
        self.matrices = count * self.each
        self.components = values // (height + width + 1)
        self.left = nn.Parameter(torch.zeros(self.components, height))
        self.right = nn.Parameter(torch.zeros(self.components, width))
        # of two dimensions, so that a storage with scales gives it one; what is left over is zero
        spare = values - self.components * (height + width)
        self.register_buffer(self.TOLD, torch.zeros(1, spare))
        for name in ("counts", "begins"):
            own = torch.zeros(self.matrices, dtype=torch.long)
            self.register_buffer(name, own, persistent=False)
        # of the largest number of components; read from the counts when they are taken
        self.widest = 0
        if not self.left.is_meta:
            self._take(self._equal())
        self.register_load_state_dict_post_hook(_read_counts)
        self._slope: tuple[Tensor, Tensor] | None = None

    def forward(self, index: Tensor) -> Tensor:
        """Return the rows at ``index``."""
        matrices = self._matrices(index)
        left, right = self._components(matrices)
        found = (left.mT @ right).view(len(index), *self.item)
        if found.requires_grad:
            self._slope = None
            found.register_hook(lambda slope: self._remember(matrices, slope))
        return found

    def bound(self) -> float:
        """Return the largest number of components times the largest sizes in l and in r."""
        return self.widest * largest(self.left) * largest(self.right)

    @torch.no_grad()
    def start_from_noise(self, key: Key) -> None:
        """Share the components out equally, and draw l and r from N(0, 1)."""
        self._take(self._equal())
        for name, factor in (("left", self.left), ("right", self.right)):
            factor.copy_(torch.randn(factor.shape, generator=key.fold(name).generator()))

    @torch.no_grad()
    def fit(self, rows: Tensor) -> None:
        """Keep what is largest among the singular values of all matrices, one of each at least."""
        matrices = rows.double().cpu().reshape(-1, *self.item[-2:])
        left, scale, right = torch.linalg.svd(matrices, full_matrices=False)
        rest = scale[:, 1:].flatten().argsort(descending=True, stable=True)
        chosen = torch.zeros(scale[:, 1:].numel(), dtype=torch.bool)
        chosen[rest[: self.components - self.matrices]] = True
        kept = torch.ones(scale.shape, dtype=torch.bool)
        kept[:, 1:] = chosen.view(len(scale), -1)
        root = scale[kept].sqrt().unsqueeze(1)
        self._take(kept.sum(dim=1))
        self.left.copy_(root * left.mT[kept])
        self.right.copy_(root * right[kept])

    @torch.no_grad()
    def adapt(self, step: int, steps: int | None) -> Move | None:
        """Move the least components, by |l|·|r|, to where a new one lowers the loss most.

        That is the matrix with the largest singular value in the part of its gradient that no
        change of the present components reaches. The new one is l = 0 and r along the right
        singular vector, at the length that r has there in the mean, so rows stay as they are but
        for what is taken away. Matrices that the step did not read neither give nor take.
        """
        slope, self._slope = self._slope, None
        late = steps is not None and step > LAST * steps
        if slope is None or late or step % EVERY:
            return None
        matrices, slopes = slope
        needs, vectors = self._needs(matrices, slopes)
        need = torch.full((self.matrices,), -math.inf, dtype=torch.float64)
        need[matrices.cpu()] = needs
        gives, takes = self._pairs(matrices.cpu(), need)
        if not len(gives):
            return None
        direction = torch.zeros(self.matrices, self.item[-1], dtype=torch.float64)
        direction[matrices.cpu()] = vectors
        return self._moved(gives, takes, direction[takes])

    @torch.no_grad()
    def follow(self, move: Move) -> None:
        """Move components as those of another store of the same form were."""
        move.apply(self.left)
        move.apply(self.right)
        self._take(move.counts)
        self.right[move.fresh] = move.values.to(self.right)

    def _needs(self, matrices: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the largest singular values of what is out of reach, and right vectors."""
        left, right = (one.double().cpu() for one in self._components(matrices))
        rest = slopes.double().cpu()
        rest = rest - left.mT @ (torch.linalg.pinv(left.mT) @ rest)
        rest = rest - (rest @ torch.linalg.pinv(right)) @ right
        _, scale, vectors = torch.linalg.svd(rest, full_matrices=False)
        return scale[:, 0], vectors[:, 0]

    def _pairs(self, matrices: Tensor, need: Tensor) -> tuple[Tensor, Tensor]:
        """Return the components that are given away, and the matrix that takes each."""
        counts, owner = self.counts.cpu(), self._owner().cpu()
        size = (self.left.norm(dim=1) * self.right.norm(dim=1)).double().cpu()
        size[~torch.isin(owner, matrices)] = math.inf
        most = max(1, int(SHARE * int(counts[matrices].sum())))
        left, gives, takes = counts.clone(), [], []
        full = counts >= min(self.item[-2:])
        taking = need.masked_fill(full, -math.inf).argsort(descending=True, stable=True)
        wanted = iter(taking[:most].tolist())
        taker = next(wanted, None)
        for slot in size.argsort(stable=True)[: _FEW * most].tolist():
            giver = int(owner[slot])
            if taker is None or not math.isfinite(float(size[slot])):
                break
            if left[giver] == 1 or not need[taker] > need[giver]:
                continue
            left[giver] -= 1
            gives.append(slot)
            takes.append(taker)
            taker = next(wanted, None)
        return torch.tensor(gives, dtype=torch.long), torch.tensor(takes, dtype=torch.long)

    def _moved(self, gives: Tensor, takes: Tensor, direction: Tensor) -> Move:
        owner = self._owner().cpu()
        lengths = torch.zeros(self.matrices, dtype=torch.float64)
        lengths.index_add_(0, owner, self.right.norm(dim=1).double().cpu())
        mean = lengths[takes] / self.counts.cpu()[takes]
        owner[gives] = takes
        # what is new comes last among the components of a matrix
        new = torch.zeros(len(owner), dtype=torch.long).index_fill_(0, gives, 1)
        source = (2 * owner + new).argsort(stable=True)
        back = torch.empty_like(source)
        back[source] = torch.arange(len(source))
        counts = torch.bincount(owner, minlength=self.matrices)
        move = Move(source, back[gives], mean.unsqueeze(1) * direction, counts)
        self.follow(move)
        return move

    def _remember(self, matrices: Tensor, slope: Tensor) -> None:
        flat = slope.detach().reshape(-1, *self.item[-2:])
        own, place = torch.unique(matrices, return_inverse=True)
        summed = flat.new_zeros(len(own), *flat.shape[1:]).index_add_(0, place, flat)
        self._slope = own, summed

    def _matrices(self, index: Tensor) -> Tensor:
        index = index.to(self.counts.device)
        inside = torch.arange(self.each, device=index.device)
        return (self.each * index.unsqueeze(1) + inside).flatten()

    def _components(self, matrices: Tensor) -> tuple[Tensor, Tensor]:
        """Return l and r of matrices, each with zeros behind its own: …×R×H and …×R×W."""
        counts = self.counts[matrices]
        place = torch.arange(self.widest, device=counts.device).expand(len(counts), -1)
        own = place < counts.unsqueeze(1)
        slots = (self.begins[matrices].unsqueeze(1) + place)[own]
        found = []
        for values in (self.left, self.right):
            padded = values.new_zeros(*own.shape, values.shape[1], dtype=torch.float32)
            padded[own] = rows_of(values, slots).float()
            found.append(padded)
        return found[0], found[1]

    def _owner(self) -> Tensor:
        matrices = torch.arange(self.matrices, device=self.counts.device)
        return matrices.repeat_interleave(self.counts)

    def _equal(self) -> Tensor:
        each, more = divmod(self.components, self.matrices)
        return each + (torch.arange(self.matrices) < more).long()

    @torch.no_grad()
    def _take(self, counts: Tensor) -> None:
        """Share the components out so: M counts, whose sum is K."""
        self.counts.copy_(counts)
        self.begins.copy_(counts.cumsum(0) - counts)
        self.widest = int(counts.max())
        self.first.zero_()
        self.first[0, self.begins] = 1.0


def _read_counts(store: AdaptiveRank, keys: object) -> None:
    """Find the counts that loaded values tell, which are not trusted.

    Raises:
        ValueError: they give each matrix no number of components that it can have.
    """
    del keys
    told = store.first[0].cpu()
    # a storage may have scaled them
    begins = (told > 0.5 * told.max()).nonzero().flatten()
    ends = torch.cat([begins[1:], torch.tensor([store.components])])
    counts = ends - begins
    most = min(store.item[-2:])
    if len(begins) != store.matrices or int(begins[0]) or int(counts.min()) < 1:
        raise ValueError("what tells where the components of a channel begin does not add up")
    if int(counts.max()) > most:
        raise ValueError(f"a channel has {int(counts.max())} components; {most} at most")
    store._take(counts)
