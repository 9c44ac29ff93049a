// What every page runs: one small module per behaviour, each found by data- attributes.

import { start as attention } from "./attention.js";
import { start as clock } from "./clock.js";
import { start as completion } from "./completion.js";
import { start as copy } from "./copy.js";
import { start as dialog } from "./dialog.js";
import { start as failure } from "./failure.js";
import { start as focus } from "./focus.js";
import { start as follow } from "./follow.js";
import { start as histogram } from "./histogram.js";
import { start as localMoment } from "./local-moment.js";
import { start as menu } from "./menu.js";
import { start as navCounts } from "./nav-counts.js";
import { start as pick } from "./pick.js";
import { start as print } from "./print.js";
import { start as refresh } from "./refresh.js";
import { start as rows } from "./rows.js";
import { start as shortcuts } from "./shortcuts.js";
import { start as tabs } from "./tabs.js";
import { start as themeSwitch } from "./theme-switch.js";
import { start as timesSwitch } from "./times-switch.js";
import { start as transfer } from "./transfer.js";
import { start as travel } from "./travel.js";
import { start as typesTree } from "./types-tree.js";

const all = [
  attention,
  clock,
  completion,
  copy,
  dialog,
  failure,
  focus,
  follow,
  histogram,
  localMoment,
  menu,
  navCounts,
  pick,
  print,
  refresh,
  rows,
  shortcuts,
  tabs,
  themeSwitch,
  timesSwitch,
  transfer,
  travel,
  typesTree,
];
for (const start of all) start();
