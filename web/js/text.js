/** What a person reads in the widgets, in the language of the front end. */

import { app } from "../../../scripts/app.js"
import { labelOf } from "./objects.js"
import { relationNamed } from "./vocabulary.js"

const en = {
  noParser: "Connect relations to a Spatial Relation Parser.",
  unknownPrompt: "The prompt comes by a link. Run the workflow once to see its objects here.",
  unknownRelations: "Relations come from a node that finds them when it runs, such as one that reads boxes.",
  noObjects: "No objects found. Write a prompt that names some, such as: a cat to the left of a dog; in another language, add them with +.",
  noPromptYet: "Write a prompt that names objects, such as: a cat to the left of a dog. In another language, they can be added here then.",
  noRelations: "No relations found. Write a prompt that states some, such as: a cat to the left of a dog.",
  off: "This node is bypassed or muted: it steers nothing.",
  offWithPrompt: "This node is bypassed or muted: it steers nothing, and hands on no prompt. For a picture without steering set strength to 0.",
  offBefore: (title) => `“${title}” is bypassed or muted: no relations come through it.`,
  nothingToSteer: "Nothing to steer: no relation found. Say where things are: a cat to the left of a dog.",
  noneInWords: "No relation in the words of the prompt. Say where things are: a cat to the left of a dog.",
  onlyRead: (depth) => `Nothing to steer. Read, but not steered: ${depth}.`,
  notSteered: (depth) => `read, but not steered: ${depth}`,
  fromPositive: "Steers what the prompt of the sampler's positive conditioning says.",
  noPrompt: "Nothing to steer: connect positive or relations to a Spatial Relation Parser.",
  failed: (why) => `The server could not read the prompt: ${why}`,
  reading: "Reading the prompt …",
  tooMany: (most) => `The prompt names more than ${most} objects, too many for this field. What it says of them is steered all the same.`,
  noRoom: (most) => `There is room for ${most} objects, and no more.`,
  damaged: (fault) => `This node holds a damaged value. What hangs on it does not run until it is reset.\n${fault}`,
  damagedBefore: (fault) => `A node before this one holds a damaged value.\n${fault}`,
  field: "Objects of the prompt. Arrow keys move one, with Shift further; F2 gives it other words, Delete takes it off. Escape leaves.",
  place: (name, x, y) => `${name}: ${x} % from the left, ${y} % from the top`,
  undo: "Undo",
  redo: "Redo",
  reset: "Reset",
  resetHint: "Back to what the prompt says",
  add: "Add an object, by words of the prompt",
  rename: "Other words of the prompt for this object",
  remove: "Take this object off",
  picture: "The picture of the last run; rings are where attention saw the objects",
  name: "Words of the prompt",
  done: "Use these words",
  dragThem: "Drag an object to where it should be.",
  nameThem: "Add the objects with +, by words of the prompt, and drag them to where they should be.",
  notInPrompt: (words) => `“${words}” does not stand in the prompt.`,
  absent: (name) => `placed, but not in the prompt: ${name}`,
  overruled: (sentences) => `by hand, in place of the prompt's: ${sentences} (Reset follows the prompt)`,
  there: (words) => `“${words}” is here already.`,
  stopped: (line) => `stopped at ${line}`,
  on: (sentence) => `Steer: ${sentence}`,
  wanted: (sentence) => `Wanted in place of: ${sentence}`,
  inOrder: (subject, relation, object) => (object === undefined ? [subject, relation] : [subject, relation, object]),
  phrase: (relation) => relation.phrase,
}

const phrases = {
  left_of: "左边",
  right_of: "右边",
  above: "上方",
  below: "下方",
  above_left: "左上方",
  above_right: "右上方",
  below_left: "左下方",
  below_right: "右下方",
  near: "旁边",
  at_left: "画面左侧",
  at_right: "画面右侧",
  at_top: "画面上方",
  at_bottom: "画面下方",
  at_center: "画面中央",
  at_top_left: "画面左上角",
  at_top_right: "画面右上角",
  at_bottom_left: "画面左下角",
  at_bottom_right: "画面右下角",
}

const zh = {
  noParser: "请将「关系」连接到「空间关系解析」。",
  unknownPrompt: "提示词来自连线。请先运行一次工作流，物体才会显示在这里。",
  unknownRelations: "关系来自运行时才得出结果的节点，例如读取边界框的节点。",
  noObjects: "没有找到物体。请在提示词中写出物体，例如：a cat to the left of a dog；其他语言请用 + 添加。",
  noPromptYet: "请写出含有物体的提示词，例如：a cat to the left of a dog。其他语言的物体之后可在此添加。",
  noRelations: "没有找到空间关系。请在提示词中写出关系，例如：a cat to the left of a dog。",
  off: "此节点已被绕过或静音：不进行引导。",
  offWithPrompt: "此节点已被绕过或静音：不进行引导，也不传递提示词。若要不引导地出图，请将强度设为 0。",
  offBefore: (title) => `“${title}”已被绕过或静音：不传递任何关系。`,
  nothingToSteer: "无可引导：没有找到空间关系。请写出物体的位置，例如：a cat to the left of a dog。",
  noneInWords: "提示词的文字中没有空间关系。请写出物体的位置，例如：a cat to the left of a dog。",
  onlyRead: (depth) => `无可引导。已读出，但不引导：${depth}。`,
  notSteered: (depth) => `已读出，但不引导：${depth}`,
  fromPositive: "引导采样器正面条件的提示词中的关系。",
  noPrompt: "无可引导：请将正面条件或「关系」连接到「空间关系解析」。",
  failed: (why) => `服务器无法读取提示词：${why}`,
  reading: "正在读取提示词…",
  tooMany: (most) => `提示词中的物体超过 ${most} 个，此画布放不下。提示词中的关系仍会被引导。`,
  noRoom: (most) => `此画布最多放 ${most} 个物体。`,
  damaged: (fault) => `此节点的值已损坏。重置之前，依赖它的部分不会运行。\n${fault}`,
  damagedBefore: (fault) => `前面的节点的值已损坏。\n${fault}`,
  field: "提示词中的物体。方向键移动，按住 Shift 移动更多；F2 换用其他词，Delete 移除；Escape 退出。",
  place: (name, x, y) => `${name}：距左边 ${x}%，距顶部 ${y}%`,
  undo: "撤销",
  redo: "重做",
  reset: "重置",
  resetHint: "恢复为提示词所说的",
  add: "添加一个物体（用提示词中的词）",
  rename: "用提示词中的其他词指代此物体",
  remove: "移除此物体",
  picture: "上次运行的图片；圆环是注意力看到物体的地方",
  name: "提示词中的词",
  done: "使用这些词",
  dragThem: "把物体拖到它应在的位置。",
  nameThem: "用 + 添加物体（用提示词中的词），再把它们拖到应在的位置。",
  notInPrompt: (words) => `提示词中没有“${words}”。`,
  absent: (name) => `已摆放，但提示词中没有：${name}`,
  overruled: (sentences) => `手动摆放，代替提示词所说的：${sentences}（重置则按提示词）`,
  there: (words) => `“${words}”已经在这里。`,
  stopped: (line) => `已停止：${line}`,
  on: (sentence) => `引导：${sentence}`,
  wanted: (sentence) => `替换：${sentence}`,
  inOrder: (subject, relation, object) =>
    object === undefined ? [subject, "在", relation] : [subject, "在", object, relation],
  phrase: (relation) => phrases[relation.name] ?? relation.phrase,
}

/** The texts in the language that the front end is set to. */
export function texts() {
  return app.extensionManager.setting.get("Comfy.Locale")?.startsWith("zh") ? zh : en
}

/** One relation of a scene in words; a place has no object. */
export function sentence({ objects, vocabulary }, [subject, name, object]) {
  const { inOrder, phrase } = texts()
  const words = phrase(relationNamed(vocabulary, name))
  return inOrder(labelOf(objects[subject]), words, object === null ? undefined : labelOf(objects[object])).join(" ")
}
