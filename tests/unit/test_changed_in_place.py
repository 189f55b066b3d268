from __future__ import annotations

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from steering_core.care import mutable, tolerant


@pytest.mark.parametrize("care", [mutable, tolerant])
def test_one_activation_in_the_memory_of_another_that_was_changed_is_not_taken_for_it(care):
    latent = torch.randn(1000, requires_grad=True)
    for _ in range(20):  # whether memory is used again at once is left to chance
        with care():
            loss = torch.zeros(())
            for factor in range(1, 7):
                activation = latent * factor
                loss = loss + (activation**2).sum()
                activation.zero_()
                del activation
            (gradient,) = torch.autograd.grad(loss, latent)
        torch.testing.assert_close(gradient, 2 * sum(factor**2 for factor in range(1, 7)) * latent.detach())


@pytest.mark.parametrize("change", ["part", "out", "foreach", "alias"])
def test_what_was_saved_is_kept_however_it_is_changed(change):
    latent = torch.randn(4, 6, requires_grad=True)
    with mutable():
        activation = latent * 3
        loss = (activation**2).sum() + (activation[:, 2:] ** 2).sum()
        with torch.no_grad():
            if change == "part":  # which begins elsewhere in memory
                activation[2:, 3:] += 1
            elif change == "out":
                torch.mul(activation.detach(), 2, out=activation.detach())
            elif change == "foreach":
                torch._foreach_mul_([activation.detach()], 2)
            else:
                activation.detach().view(-1)[5:].zero_()
        (gradient,) = torch.autograd.grad(loss, latent)
    expected = 18 * latent.detach()
    expected[:, 2:] *= 2
    torch.testing.assert_close(gradient, expected)


def test_a_tensor_that_is_saved_twice_is_copied_once_and_only_if_it_is_changed():
    latent = torch.randn(1000, requires_grad=True)
    with mutable():
        changed, unchanged = latent * 1, latent * 2
        loss = (changed**2).sum() + (changed**3).sum() + (unchanged**2).sum()
        changed.zero_()
        squares = [node for node, _ in loss.grad_fn.next_functions[0][0].next_functions]
        saved = [node.next_functions[0][0]._saved_self for node in squares]
        assert saved[0].data_ptr() == saved[1].data_ptr() != changed.data_ptr()
        assert loss.grad_fn.next_functions[1][0].next_functions[0][0]._saved_self.data_ptr() == unchanged.data_ptr()


def test_it_can_stand_within_other_hooks_and_itself():
    latent = torch.randn(10, requires_grad=True)
    with saved_tensors_hooks(lambda one: one, lambda one: one), mutable(), mutable():
        activation = latent * 2
        loss = (activation**2).sum()
        activation.zero_()
        (gradient,) = torch.autograd.grad(loss, latent)
    torch.testing.assert_close(gradient, 8 * latent.detach())


def test_a_conjugate_is_told_from_what_it_is_of():
    latent = torch.randn(6, dtype=torch.complex64, requires_grad=True)
    with mutable():
        activation = latent * 2
        loss = (activation * activation.conj()).real.sum()
        activation.zero_()
        (gradient,) = torch.autograd.grad(loss, latent)
    torch.testing.assert_close(gradient, 8 * latent.detach())
