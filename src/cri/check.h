/* check.h: `crisp check`: what this node lacks, a line each. */
#ifndef CRISP_CHECK_H
#define CRISP_CHECK_H

/* Prints every point; exit status 1 if something is missing without which pods cannot run. */
int check_main(int argc, char **argv);

#endif
