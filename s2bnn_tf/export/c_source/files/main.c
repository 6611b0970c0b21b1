/* Runs the network on one picture of float32 numbers from a file, and prints its output. */
#include <stdio.h>

#include "@NAME@.h"

@ARENA@int main(int argc, char **argv) {
  float *input = @NAME@_input(@ARGUMENT@);
  FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
  if (file == NULL || fread(input, 1, @MACRO@_INPUT_BYTES, file) != @MACRO@_INPUT_BYTES) {
    fprintf(stderr, "usage: %s PICTURE, a file of %d bytes: float32, row by row\n", argv[0],
            @MACRO@_INPUT_BYTES);
    return 1;
  }
  fclose(file);
  if (@NAME@_run(@ARGUMENT@) != 0) return 1;
  const float *output = @NAME@_output(@ARGUMENT@);
  for (int i = 0; i < @MACRO@_OUTPUT_BYTES / 4; ++i) printf("%.9g\n", (double)output[i]);
  return 0;
}
