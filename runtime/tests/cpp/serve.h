// Inputs that another program makes, tools/fuzz.py.
#pragma once

// Runs the inputs on the standard input until it ends. Each is a length of 4 bytes and as many
// bytes. The answer to each, on the standard output, is an Outcome, 'c' for a crash, or 's' if it
// was too slow. Returns the exit status.
int serve();
