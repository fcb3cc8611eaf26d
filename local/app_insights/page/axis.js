// Where on the axis a moment is. Idle times can be folded: then each takes the same few pixels, whatever its length.

const FOLD_PX = 46
const MAX_FOLDED_PART = 0.4
const LABEL_PX = 64
const FOLD_LABEL_PX = 50
const STEPS = [1, 2, 5]

/** An axis of `widthPx` for a story of `totalMs`; `folds` are idle times `{start_ms, end_ms}`, in order. */
export function makeAxis(totalMs, folds, widthPx) {
  const foldPart = Math.min(FOLD_PX / widthPx, MAX_FOLDED_PART / (folds.length || 1))
  const folded = folds.reduce((sum, fold) => sum + fold.end_ms - fold.start_ms, 0)
  const shownMs = Math.max(totalMs - folded, 0.001)
  const perMs = (1 - foldPart * folds.length) / shownMs
  const pieces = []
  let ms = 0
  let part = 0
  const add = (endMs, isFold) => {
    const length = isFold ? foldPart : (endMs - ms) * perMs
    pieces.push({ startMs: ms, endMs, part, length, isFold })
    ms = endMs
    part += length
  }
  for (const fold of folds) {
    add(fold.start_ms, false)
    add(fold.end_ms, true)
  }
  add(Math.max(totalMs, ms), false)

  /** The moment as a part of the axis, from 0 to 1. */
  function at(moment) {
    const piece = pieces.find((each) => moment <= each.endMs) ?? pieces.at(-1)
    const length = piece.endMs - piece.startMs
    const inside = length > 0 ? (moment - piece.startMs) / length : 0
    return Math.min(1, Math.max(0, piece.part + inside * piece.length))
  }
  return { at, folds: labelled(pieces.filter((each) => each.isFold), widthPx), ticks: ticks(pieces, shownMs, at, widthPx) }
}

/** The folds, and which of them have room for a label beside that of the one before. */
function labelled(folds, widthPx) {
  let free = 0
  return folds.map((fold) => {
    const middle = fold.part + fold.length / 2
    const hasLabel = middle - FOLD_LABEL_PX / 2 / widthPx >= free
    if (hasLabel) free = middle + FOLD_LABEL_PX / 2 / widthPx
    return { ...fold, hasLabel }
  })
}

/** Round moments in what is not folded, far enough from each other and from the folds for their labels. */
function ticks(pieces, shownMs, at, widthPx) {
  const step = roundStep(shownMs / Math.max(2, Math.floor(widthPx / LABEL_PX / 1.5)))
  const found = [{ ms: 0, part: 0 }]
  let free = LABEL_PX / widthPx
  for (const piece of pieces) {
    if (piece.isFold) {
      free = piece.part + piece.length + LABEL_PX / 2.6 / widthPx
      continue
    }
    const end = piece === pieces.at(-1) ? 1 - LABEL_PX / 2 / widthPx : piece.part + piece.length - LABEL_PX / 2.6 / widthPx
    for (let ms = Math.ceil(piece.startMs / step) * step; ms <= piece.endMs; ms += step) {
      const part = at(ms)
      if (part < free || part > end) continue
      found.push({ ms, part })
      free = part + LABEL_PX / widthPx
    }
  }
  return found
}

function roundStep(atLeast) {
  const power = 10 ** Math.floor(Math.log10(Math.max(atLeast, 0.01)))
  return (STEPS.find((step) => step * power >= atLeast) ?? 10) * power
}
