// The chat without accounts: everybody is a guest.

import { open } from "./chat.js";

open();
