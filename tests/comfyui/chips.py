"""The canvas in a headless browser: its objects, and hands that drag and name them."""

from __future__ import annotations


def chip(page, name):
    """The object of this name."""
    return page.locator(f'.spatial-steering .chip[value="{name}"]')


def centre(page, name):
    """Where an object is, in pixels."""
    box = chip(page, name).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def at(page, x, y):
    """A place on the field, in pixels."""
    box = page.locator(".spatial-steering .stage").bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def drag(page, name, x, y):
    """Drag an object to a place on the field."""
    page.mouse.move(*centre(page, name))
    page.mouse.down()
    page.mouse.move(*at(page, x, y), steps=5)
    page.mouse.up()


def tool(page, sign):
    """The button with this sign."""
    return page.locator(f'.spatial-steering .tools input[value="{sign}"]')


def name(page, words):
    """Write the words of an object where they are asked for."""
    page.locator(".spatial-steering .naming .name").fill(words)
    page.keyboard.press("Enter")


def widget_value(type, name):
    """The value of a node's widget, in JavaScript."""
    return f"app.graph._nodes.find(n => n.type.endsWith('{type}')).widgets.find(w => w.name === '{name}').value"
