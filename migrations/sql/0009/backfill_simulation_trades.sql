UPDATE simulation_trades SET side = side
 WHERE greatest(bar_timestamp, exit_timestamp) >= '5138-11-16 09:46:40+00'
   AND /* page */ true;
