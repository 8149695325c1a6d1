/* What happens to a cluster: clients ask, connections break, nodes come and go, and others interfere. */
#ifndef SIMULATOR_ACTS_H
#define SIMULATOR_ACTS_H

/* Plays as many acts as the plan of the run says, any of those that it allows. */
void acts_play(void);

#endif
