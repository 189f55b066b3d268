from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from textwrap import dedent

import pytest
import torch
from toys import Calls, descended, pair_scene, row_scene, toy_probe

from steering_core.bends import LEAST_ALPHA, LEAST_REMOVED, bounded_shift
from steering_core.care import Caution
from steering_core.layers import AttentionLayer, check_layers, default_layers
from steering_core.losses import CentroidLoss, CombinedLoss, MapsRead, PresenceLoss, SteeringLoss
from steering_core.probe import MapRequest
from steering_core.relations.relation import Relation
from steering_core.schedule import GUIDANCE, IN_TURN, MOVE, SamplingStep, SteeringSchedule
from steering_core.steering import Steering
from steering_core.token_maps import variances

STEPS = 16


def at(step: int, progress: float = 0.0) -> SamplingStep:
    return SamplingStep(step, STEPS, progress)


def latents(batch: int = 3) -> torch.Tensor:
    return torch.randn(batch, 4, 8, 8, generator=torch.Generator().manual_seed(0))


def steering(*relations: Relation, loss=None, **schedule) -> Steering:
    scene = pair_scene(*(relations or (Relation.LEFT_OF,)))
    return Steering(scene, loss or CentroidLoss(), SteeringSchedule(**schedule))


def losses(latent: torch.Tensor, relation: Relation = Relation.LEFT_OF) -> torch.Tensor:
    return CentroidLoss()(toy_probe(latent), pair_scene(relation).relations[0], 0.0)


def test_descent_lowers_the_loss_of_every_image():
    moved = steering(refinements=5).descend(latents(), toy_probe, 1.0, at(0))
    assert (losses(moved) < losses(latents())).all()


@pytest.mark.parametrize("noise_level", [0.2, 1.0, 14.0])
def test_a_step_is_as_long_as_the_noise_says(noise_level):
    moved = steering(step_size=0.3).descend(latents(), toy_probe, noise_level, at(0))
    length = (moved - latents()).flatten(1).pow(2).mean(dim=1).sqrt()
    torch.testing.assert_close(length, torch.full((3,), 0.3 * noise_level))


@pytest.mark.parametrize("noise_level", [0.2, 1.0, 14.0])
def test_strength_moves_the_latent_by_a_share_of_the_noise(noise_level):
    moved = steering(strength=2.0).descend(latents(), toy_probe, noise_level, at(0))
    length = (moved - latents()).flatten(1).pow(2).mean(dim=1).sqrt()
    torch.testing.assert_close(length, torch.full((3,), 2 * MOVE * noise_level))


def test_guidance_of_a_strength_moves_the_latent_as_far_as_descent_does():
    step = SamplingStep(0, STEPS, 0.0, removes=0.04)
    noise_level = 0.7
    shift = steering(update=GUIDANCE).noise_shift(latents(), toy_probe, step)
    moved = steering().descend(latents(), toy_probe, noise_level, step)
    # The sampler's step goes along the noise by what it removes of it.
    torch.testing.assert_close(latents() - noise_level * step.removes * shift, moved)


@pytest.mark.parametrize("removes", [0.0, 1e-9, -1e-9, float("nan"), float("-inf")])
def test_a_bend_has_a_bound_where_a_step_hardly_removes_noise(removes):
    step = SamplingStep(0, STEPS, 0.0, removes)
    shift = steering(update=GUIDANCE).noise_shift(latents(), toy_probe, step)
    assert shift.flatten(1).square().mean(dim=1).sqrt().max() <= MOVE / LEAST_REMOVED * 1.001


def test_the_step_fades_by_the_decay():
    run = steering(step_size=0.3, decay=0.5)
    lengths = []
    for step in range(4):
        moved = run.descend(latents(), toy_probe, 1.0, at(step))
        lengths.append((moved - latents()).flatten(1).pow(2).mean(dim=1).sqrt()[0].item())
    assert lengths == pytest.approx([0.3, 0.2625, 0.225, 0.1875], rel=1e-4)


@pytest.mark.parametrize("share", [1, 2, 4, 8])
@pytest.mark.parametrize("update", ["descent", "guidance"])
def test_what_a_mask_leaves_open_moves_as_far_as_without_one(share, update):
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., : 8 // share] = 1
    run, latent = steering(update=update, step_size=0.2), latents()[:, :2]
    if update == "descent":
        moves = run.descend(latent, toy_probe, 3.0, at(0), mask) - latent
        far = 0.6
    else:
        moves, far = run.noise_shift(latent, toy_probe, at(0), mask), 0.2
    is_open = mask.expand_as(moves) > 0
    assert not moves[~is_open].any()
    lengths = moves[is_open].view(3, -1).pow(2).mean(dim=1).sqrt()
    torch.testing.assert_close(lengths, torch.full((3,), far))


def test_what_is_half_open_moves_half_as_far():
    mask = torch.full((1, 1, 8, 8), 0.5)
    whole, half = (
        steering(step_size=0.2).descend(latents(), toy_probe, 1.0, at(0), mask) - latents() for mask in (None, mask)
    )
    torch.testing.assert_close(half, 0.5 * whole)


@pytest.mark.parametrize("update", ["descent", "guidance"])
def test_a_step_in_which_nothing_can_be_moved_is_told(update):
    mask = torch.ones(3, 1, 8, 8)
    mask[1] = 0
    run = steering(update=update)
    move = run.noise_shift if update == "guidance" else lambda *given: run.descend(given[0], given[1], 1.0, *given[2:])
    move(latents(), toy_probe, at(0), mask)
    assert [str(one) for one in run.unsteered] == [
        "step 1, picture 2: not steered, nothing that may be moved acts on the attention, as where a mask keeps the "
        "picture"
    ]
    move(latents(), toy_probe, at(1), torch.zeros(1, 1, 8, 8))
    move(latents(), toy_probe, at(1), torch.zeros(1, 1, 8, 8))
    assert [(one.step, one.images) for one in run.unsteered[1:]] == [(1, ())]


def test_a_picture_too_small_for_places_is_not_said_to_be_kept_by_a_mask():
    run = steering()
    run.descend(latents(), lambda latent: toy_probe(0 * latent), 1.0, at(0))
    (told,) = run.unsteered
    assert "as in a picture of very few pixels" in str(told)


def test_without_normalising_the_gradient_itself_is_followed():
    latent = latents().requires_grad_()
    (gradient,) = torch.autograd.grad(losses(latent).sum(), latent)
    moved = steering(step_size=2.0, normalize=False).descend(latents(), toy_probe, 5.0, at(0))
    torch.testing.assert_close(moved, latents() - 2 * gradient)


def test_guidance_shifts_the_noise_along_the_gradient():
    latent = latents().requires_grad_()
    (gradient,) = torch.autograd.grad(losses(latent).sum(), latent)
    shift = steering(update=GUIDANCE, step_size=0.7).noise_shift(latents(), toy_probe, at(0))
    length = gradient.flatten(1).pow(2).mean(dim=1).sqrt()
    torch.testing.assert_close(shift, 0.7 * gradient / length.view(-1, 1, 1, 1))


def test_probes_of_one_step_are_numbered_under_guidance_too():
    run = steering(update=GUIDANCE)
    for step in (0, 0, 1):
        run.noise_shift(latents(), toy_probe, at(step))
    assert [(entry.step, entry.refinement) for entry in run.trace] == [(0, 0), (0, 1), (1, 0)]


def test_refinements_are_a_cap_and_the_target_ends_them():
    capped = steering(refinements=4, step_size=1e-4)
    capped.descend(latents(), toy_probe, 1.0, at(0))
    assert [entry.refinement for entry in capped.trace] == [0, 1, 2, 3]

    target = losses(latents()).max().item() * 0.8
    ended = steering(refinements=100, step_size=0.1, target=target)
    moved = ended.descend(latents(), toy_probe, 1.0, at(0))
    assert (losses(moved) <= target).all()
    assert len(ended.trace) < 100


def test_where_few_steps_are_steered_each_moves_more_often_and_the_last_move_is_looked_at():
    cases = ((4, 0, 4, 1), (8, 0, 2, 0), (8, 1, 1, 1), (12, 1, 1, 0), (12, 2, 1, 1), (25, 6, 1, 0))
    for steps, step, moves, looks in cases:
        run = steering(step_size=1e-4)
        moved = descended(run, latents(), SamplingStep(step, steps, 0.0))
        assert [entry.refinement for entry in run.trace] == list(range(moves + looks))
        norms = [(entry.gradient_norm > 0).all().item() for entry in run.trace]
        assert norms == [True] * moves + [False] * looks
        if looks:
            torch.testing.assert_close(run.trace[-1].loss, losses(moved)[None])
            assert (run.trace[-1].loss < run.trace[-2].loss).all()


def test_a_look_after_the_last_move_that_fails_costs_nothing(caplog):
    calls = iter(range(99))

    def fails_at_last(latent):
        if next(calls) == 4:
            raise RuntimeError("no memory left")
        return toy_probe(latent)

    run = steering(step_size=1e-4)
    moved = descended(run, latents(), SamplingStep(0, 2, 0.0), fails_at_last)
    assert torch.equal(moved, steering(step_size=1e-4).descend(latents(), toy_probe, 1.0, SamplingStep(0, 2, 0.0)))
    assert len(run.trace) == 4 and run.unsteered == []
    assert "nothing was seen after the last move: no memory left" in caplog.text


def test_the_last_move_is_shown_by_the_first_step_in_which_nothing_is_bound():
    cases = (({"bound": 0.0}, 3), ({"bound": 0.5}, 4), ({"bound": 0.75}, 6), ({"bound": 1.0}, None))
    for settings, shown_in in (*cases, ({"bound": 0.5, "restarts": 1}, None)):
        assert steering(**settings).step_that_shows(SamplingStep(3, 8, 0.0)) == shown_in


def test_a_look_in_a_later_step_is_at_the_relations_of_the_last_move():
    run = steering(Relation.LEFT_OF, Relation.ABOVE, order=IN_TURN, refinements=1)
    moved = run.descend(latents(), toy_probe, 1.0, SamplingStep(1, 8, 0.0))
    run.look_after(moved, toy_probe, SamplingStep(4, 8, 0.0))
    move, look = run.trace
    assert move.relations == look.relations == (1,)
    assert (look.step, look.refinement) == (4, 0) and (look.loss < move.loss).all()


def test_a_user_can_stop_in_the_look_after_the_last_move():
    class Stopped(Exception):
        pass

    calls = iter(range(99))

    def stopped_at_last(latent):
        if next(calls) == 4:
            raise Stopped
        return toy_probe(latent)

    run = replace(steering(step_size=1e-4), caution=Caution(stops=[Stopped]))
    with pytest.raises(Stopped):
        descended(run, latents(), SamplingStep(0, 2, 0.0), stopped_at_last)


def test_what_was_not_moved_is_not_looked_at_again():
    last = SamplingStep(0, 2, 0.0)
    met, failing = steering(target=100.0), steering()
    for run, probe in ((met, toy_probe), (failing, lambda latent: 1 / 0)):
        descended(run, latents(), last, probe)
    assert [entry.refinement for entry in met.trace] == [0] and failing.trace == []


def test_an_image_that_meets_the_target_is_not_moved():
    before = losses(latents())
    easiest = before.argmin()
    moved = steering(target=before.min().item()).descend(latents(), toy_probe, 1.0, at(0))
    unmoved = torch.tensor([torch.equal(a, b) for a, b in zip(moved, latents())])
    assert unmoved[easiest] and unmoved.sum() == 1


def test_nothing_to_do_leaves_the_latent_and_the_noise_alone():
    latent = latents()
    done = {"target": 100.0}
    assert steering(**done).descend(latent, toy_probe, 1.0, at(0)) is latent
    assert steering(update=GUIDANCE, **done).noise_shift(latent, toy_probe, at(0)) is None


def steps_looked_at(run: Steering, latent: torch.Tensor, steps: int = STEPS) -> list[int]:
    for step in run.schedule.steered_steps(steps):
        run.descend(latent, toy_probe, 1.0, SamplingStep(step, steps, 0.0))
    return [entry.step for entry in run.trace]


@pytest.mark.parametrize(("rest", "looked_at"), [(0, [0, 1, 2, 3, 4, 5]), (1, [0, 2, 4, 5]), (9, [0, 5])])
def test_where_all_holds_the_next_steps_rest_but_the_last_of_the_window(rest, looked_at):
    run = steering(target=100.0, rest=rest, end=6 / STEPS)
    assert steps_looked_at(run, latents()) == looked_at
    assert run.unsteered == []


def test_a_batch_rests_when_all_of_its_images_hold():
    target = losses(latents()).median().item()
    holds = losses(latents()) <= target
    assert holds.any() and not holds.all()
    frozen = {"target": target, "step_size": 0.0, "end": 5 / STEPS}
    assert steps_looked_at(steering(**frozen), latents()) == [0, 1, 2, 3, 4]
    assert steps_looked_at(steering(**frozen), latents()[holds]) == [0, 2, 4]


def test_what_was_moved_is_looked_at_again():
    target = losses(latents()).max().item() - 1e-4
    run = steering(target=target, end=5 / STEPS)
    latent = latents()
    for step in range(5):
        latent = run.descend(latent, toy_probe, 1.0, at(step))
    assert [entry.step for entry in run.trace] == [0, 1, 3, 4]  # moved, held, rested, held, the last


def test_a_relation_in_turn_rests_its_own_turn():
    run = steering(Relation.LEFT_OF, Relation.ABOVE, target=100.0, order=IN_TURN, end=9 / STEPS)
    assert steps_looked_at(run, latents()) == [0, 1, 4, 5, 8]


def test_a_picture_that_broke_does_not_let_the_others_rest():
    def broken(latent):
        return toy_probe(latent * torch.tensor([1.0, float("nan"), 1.0]).view(-1, 1, 1, 1))

    run = steering(target=100.0)
    for step in range(3):
        run.descend(latents(), broken, 1.0, at(step))
    assert [entry.step for entry in run.trace] == [0, 1, 2]


def test_noise_guidance_rests_too_and_a_new_run_begins_awake():
    run = steering(update=GUIDANCE, target=100.0)
    for step in (0, 0, 1, 2):
        run.noise_shift(latents(), toy_probe, at(step))
    assert [(entry.step, entry.refinement) for entry in run.trace] == [(0, 0), (2, 0)]
    run.begin()
    run.noise_shift(latents(), toy_probe, at(1))
    assert [entry.step for entry in run.trace] == [1]


def test_images_of_a_batch_do_not_touch_each_other():
    together = steering(refinements=3).descend(latents(), toy_probe, 1.0, at(0))
    alone = [steering(refinements=3).descend(image[None], toy_probe, 1.0, at(0)) for image in latents()]
    torch.testing.assert_close(together, torch.cat(alone))


def test_relations_together_add_up_and_in_turn_alternate():
    relations = (Relation.LEFT_OF, Relation.ABOVE)
    together = steering(*relations)
    together.descend(latents(), toy_probe, 1.0, at(0))
    assert together.trace[0].relations == (0, 1)
    assert together.trace[0].loss.shape == (2, 3)

    in_turn = steering(*relations, order=IN_TURN)
    for step in range(3):
        in_turn.descend(latents(), toy_probe, 1.0, at(step))
    assert [entry.relations for entry in in_turn.trace] == [(0,), (1,), (0,)]
    torch.testing.assert_close(in_turn.trace[1].loss[0], losses(latents(), Relation.ABOVE))


def test_trace_says_what_was_seen():
    run = steering()
    run.descend(latents(), toy_probe, 1.0, at(2))
    (entry,) = run.trace
    assert (entry.step, entry.refinement) == (2, 0)
    torch.testing.assert_close(entry.loss[0], losses(latents()))
    assert entry.centroids.shape == (3, 2, 2)
    assert (entry.gradient_norm > 0).all()
    torch.testing.assert_close(entry.mean_map, toy_probe(latents()).mean_map())
    told = json.loads(json.dumps(entry.as_json()))
    assert set(told) == {"step", "refinement", "relations", "loss", "centroids", "gradient_norm", "strength"}


def test_a_picture_whose_gradient_is_not_finite_is_left_alone_and_the_others_are_steered(caplog):
    def broken(latent):
        return toy_probe(latent * torch.tensor([1.0, float("nan"), 1.0]).view(-1, 1, 1, 1))

    run = steering()
    moved = run.descend(latents(), broken, 1.0, at(2))
    expected = steering().descend(latents(), toy_probe, 1.0, at(2))
    assert torch.equal(moved[1], latents()[1])
    torch.testing.assert_close(moved[::2], expected[::2], rtol=0, atol=0)
    (left_out,) = run.unsteered
    assert (left_out.step, left_out.images) == (2, (1,)) and "not finite" in left_out.reason
    assert "step 3, picture 2" in caplog.text


def test_whatever_fails_in_a_probe_costs_the_step_and_is_told_once(caplog):
    def broken(latent):
        raise ArithmeticError("deliberate\nand long")

    run = steering(update=GUIDANCE)
    assert run.noise_shift(latents(), broken, at(0)) is None
    assert run.noise_shift(latents(), broken, at(1)) is None
    assert [(left_out.step, left_out.reason) for left_out in run.unsteered] == [
        (step, "ArithmeticError: deliberate and long") for step in (0, 1)
    ]
    assert len(caplog.records) == 1 and run.trace == []


@pytest.mark.parametrize(
    ("shaped", "told"),
    [(torch.sum, "one number for all"), (lambda loss: loss[:2], "2"), (lambda loss: loss[:, None], "3 × 1")],
)
def test_a_loss_of_another_shape_costs_the_step_and_is_told(shaped, told):
    class Shaped(CentroidLoss):
        def __call__(self, maps, relation, progress):
            return shaped(super().__call__(maps, relation, progress))

    run = steering(loss=Shaped())
    assert torch.equal(run.descend(latents(), toy_probe, 1.0, at(0)), latents())
    (left_out,) = run.unsteered
    assert f"a number for each of 3 pictures, not {told}" in left_out.reason and run.trace == []


def test_a_loss_without_a_gradient_is_told_from_a_network_without_one():
    class Detached(CentroidLoss):
        def __call__(self, maps, relation, progress):
            return super().__call__(maps, relation, progress).detach()

    cases = (
        (Detached(), toy_probe, "the loss has no gradient to the maps that it is given"),
        (None, lambda latent: toy_probe(latent.detach()), "a patch or a wrapper of the model keeps every gradient"),
    )
    for loss, probe, told in cases:
        run = steering(loss=loss)
        run.descend(latents(), probe, 1.0, at(0))
        assert told in run.unsteered[0].reason


def test_a_loss_that_is_none_for_a_network_is_told():
    class Forgetful(CentroidLoss):
        def for_network(self, network, relations):
            super().for_network(network, relations)

    with pytest.raises(TypeError, match=r"loss: Forgetful.for_network is to return a loss that says .* not None"):
        steering(loss=Forgetful()).for_network(NETWORK)


def test_what_ends_a_run_is_not_swallowed():
    class Cancelled(Exception):
        pass

    def cancelled(latent):
        raise Cancelled

    run = steering().for_network([AttentionLayer("up", 0, 1, 2)], stops=[Cancelled])
    with pytest.raises(Cancelled):
        run.descend(latents(), cancelled, 1.0, at(0))
    assert run.unsteered == []


def test_a_gradient_that_overflows_is_taken_again_at_a_smaller_scale():
    """As in half precision: whatever is beyond 65504 on the way back is infinite."""
    tried = []

    def narrow(latent):
        def overflow(gradient):
            tried.append(gradient.abs().max().item())
            return torch.where(gradient.abs() > 10, float("inf"), gradient)

        halved = latent * 1
        halved.register_hook(overflow)
        return toy_probe(halved)

    run = steering()
    moved = run.descend(latents(), narrow, 1.0, at(0))
    assert len(tried) > 1 and tried[0] > tried[-1] and run.unsteered == []
    torch.testing.assert_close(moved, steering().descend(latents(), toy_probe, 1.0, at(0)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_step_has_its_size_in_half_precision_however_small_the_gradient(dtype):
    class Small(CentroidLoss):
        def __call__(self, maps, relation, progress):
            return 1e-12 * super().__call__(maps, relation, progress)

    latent = latents().to(dtype)
    moved = steering(loss=Small(), target=-1.0, step_size=0.2).descend(latent, toy_probe, 1.0, at(0))
    assert moved.dtype is dtype
    length = (moved.float() - latent.float()).flatten(1).pow(2).mean(dim=1).sqrt()
    torch.testing.assert_close(length, torch.full((3,), 0.2), rtol=0.01, atol=0)


def test_probes_get_float32_and_the_shift_of_the_noise_comes_in_it():
    seen = []

    def probe(latent):
        seen.append(latent.dtype)
        return toy_probe(latent)

    shift = steering(update=GUIDANCE).noise_shift(latents().half(), probe, at(0))
    assert (seen, shift.dtype) == ([torch.float32], torch.float32)


def test_a_patch_may_change_the_latent_in_place():
    def probe(latent):
        return toy_probe(latent.mul_(1.0))

    run = steering()
    moved = run.descend(latents(), probe, 1.0, at(0))
    assert run.unsteered == []
    assert torch.equal(moved, steering().descend(latents(), toy_probe, 1.0, at(0)))


def test_a_clean_image_is_shifted_no_further_than_the_least_signal_allows():
    levels = [0.0, 1e-6, 0.01, LEAST_ALPHA, 0.068, 0.5, 1.0]
    shifts = [bounded_shift(alpha) / max(alpha, 1e-9) for alpha in levels]
    assert all(shift <= 1 / LEAST_ALPHA + 1e-9 for shift in shifts)
    assert [bounded_shift(alpha) for alpha in levels[-4:]] == [1.0] * 4


def test_steering_works_in_inference_mode():
    expected = steering().descend(latents(), toy_probe, 1.0, at(0))
    with torch.inference_mode():
        moved = steering().descend(latents(), toy_probe, 1.0, at(0))
    torch.testing.assert_close(moved.clone(), expected)


def test_only_the_window_of_a_scene_with_relations_is_active():
    assert steering(start=0.2, end=0.4).is_active(4, 20)
    assert not steering(start=0.2, end=0.4).is_active(8, 20)
    assert not Steering(pair_scene(), CentroidLoss()).is_active(0, 20)


def test_a_loss_sees_the_progress_of_the_diffusion():
    seen = []

    class Watched(CentroidLoss):
        def __call__(self, maps, relation, progress):
            seen.append(progress)
            return super().__call__(maps, relation, progress)

    steering(loss=Watched()).descend(latents(), toy_probe, 1.0, at(1, progress=0.6))
    assert seen == [0.6]


@pytest.mark.parametrize(
    ("asked", "spreads", "spread"), [(None, True, True), (None, False, False), (False, True, False)]
)
def test_a_network_says_whether_few_steps_are_spread_unless_the_schedule_does(asked, spreads, spread):
    bound = steering(spread=asked).for_network(NETWORK, spreads=spreads)
    assert bound.schedule.spread is spread and steering(spread=asked).schedule.spread is asked


@pytest.mark.parametrize(
    ("asked", "relation", "binds", "steps"),
    [
        (None, Relation.LEFT_OF, True, 12),
        (None, Relation.LEFT_OF, False, 0),
        (None, Relation.NEAR, True, 0),
        (0.0, Relation.LEFT_OF, True, 0),
        (0.2, Relation.LEFT_OF, False, 5),
    ],
)
def test_a_network_says_whether_objects_are_bound_unless_the_schedule_does(asked, relation, binds, steps):
    run = steering(relation, bound=asked).for_network(NETWORK, spreads=True, binds=binds)
    assert run.bound_steps(25) == steps
    assert len(run.schedule.steered_steps(25)) == (4 if steps else 7)


@pytest.mark.parametrize(("objects", "asked", "steps"), [(5, None, 12), (6, None, 0), (6, 0.5, 12)])
def test_many_objects_are_bound_only_if_the_schedule_says_so(objects, asked, steps):
    run = Steering(row_scene(objects), CentroidLoss(), SteeringSchedule(bound=asked))
    assert run.for_network(NETWORK, spreads=True, binds=True).bound_steps(25) == steps


NETWORK = [AttentionLayer("down", 0, 0, 2), AttentionLayer("up", 0, 1, 2), AttentionLayer("up", 1, 0, 2)]


def test_binding_gives_the_loss_its_layers_and_leaves_the_original_as_it_was():
    loss = CombinedLoss(((CentroidLoss(), 1.0), (PresenceLoss(layers=("down.0",)), 1.0)))
    run = steering(loss=loss)
    bound = run.for_network(NETWORK)
    assert check_layers(bound.request.layers, NETWORK) == ("down.0", "up.0")
    assert bound.loss.terms[0][0].layers == ("up.0",)
    assert run.loss is loss


def test_one_steering_is_bound_to_one_network_after_the_other():
    run = steering()
    assert run.for_network(NETWORK).loss.layers == ("up.0",)
    assert run.for_network([AttentionLayer("up", 0, 0, 2)]).loss.layers == ("up.0",)
    assert run.for_network(
        [AttentionLayer("mid", 0, 1, 2), *NETWORK[1:], AttentionLayer("up", 2, 2, 2)]
    ).loss.layers == (
        "up.0",
        "up.2",
    )


def test_the_bound_one_writes_the_same_trace_and_begins_it_anew():
    run = steering()
    bound = run.for_network(NETWORK)
    bound.descend(latents(), toy_probe, 1.0, at(0))
    bound.notes.leave_out(1, "no reason")
    assert (len(run.trace), len(run.unsteered)) == (1, 1)
    bound.begin()
    assert run.trace == [] and run.unsteered == []


def test_the_loss_of_ones_own_that_is_shown_is_steered_by():
    names = {"MapsRead": MapsRead, "default_layers": default_layers, "variances": variances}
    _, example = SteeringLoss.__doc__.split("::\n")
    exec(dedent(example), names)
    run = steering(loss=names["SpreadLoss"](), refinements=2).for_network(NETWORK)
    assert run.request == MapRequest(((1,), (2,)), ("up.0",), objects=2)
    run.descend(latents(), toy_probe, 1.0, at(0))
    before, after = run.trace
    assert run.unsteered == [] and (after.loss < before.loss).all()


def test_a_layer_that_the_network_lacks_is_refused():
    with pytest.raises(ValueError, match=r"unknown: up\.7"):
        steering(loss=CentroidLoss(layers=("up.7",))).for_network([AttentionLayer("up", 0, 0, 2)])


def test_what_a_probe_saw_is_brought_to_main_memory_at_once():
    """Each transfer waits for the card."""
    steering = Steering(pair_scene(Relation.RIGHT_OF), CentroidLoss())
    with Calls() as calls:
        steering.descend(torch.rand(2, 4, 8, 8), toy_probe, 1.0, SamplingStep(0, 25, 0.0))
    assert len(steering.trace) == 1 and calls.count["cpu"] == 1


def test_the_loop_by_itself_loads_no_detector_classifier_or_language_model():
    told = "import sys, steering_core.steering; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout.split()
    assert "steering_core.probe" in loaded
    others = ("steering_core.detection", "steering_core.losses", "steering_core.classifier", "safetensors")
    assert not {*others, "transformers", "diffusers", "PIL"} & set(loaded)


@pytest.mark.parametrize(
    ("relations", "loss", "steps"),
    [(1, CentroidLoss(), [0, 2, 4, 6]), (2, CentroidLoss(), [*range(7)]), (1, PresenceLoss(), [*range(7)])],
)
def test_a_centroid_loss_of_one_relation_is_read_every_other_step_and_all_else_in_each(relations, loss, steps):
    run = steering(*[Relation.LEFT_OF] * relations, loss=loss)
    assert run.for_network(NETWORK).schedule.steered_steps(25) == steps
    assert run.for_network(NETWORK, spreads=True).schedule.steered_steps(25) == [*range(7)]
    combined = replace(run, loss=CombinedLoss([(loss, 1.0), (PresenceLoss(), 1.0)]))
    assert combined.for_network(NETWORK).schedule.steered_steps(25) == [*range(7)]
