// The chat without accounts.

import { open } from "./chat.js";

open();
