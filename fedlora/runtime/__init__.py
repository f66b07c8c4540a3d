"""Where a run happens: in this process, on Ray, or on several machines."""

from fedlora.runtime import environment

# Flower and Ray read these when they are imported, and every module that imports them is in here.
environment.prepare()
